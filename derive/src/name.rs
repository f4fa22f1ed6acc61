//! The rules of an event's name, and a proposal for one.

use syn::{Error, LitStr, Result};

const LONGEST: usize = 128;

pub(crate) fn check(name: &LitStr) -> Result<()> {
    match fault(&name.value()) {
        Some(fault) => Err(Error::new(name.span(), fault)),
        None => Ok(()),
    }
}

/// What is wrong with a name; the same rules as the crate's own check of hand-written events.
fn fault(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("the event's name is empty; write one such as `orders.placed`".to_owned());
    }
    let bad = name
        .char_indices()
        .find(|(_, c)| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')));
    if let Some((at, bad)) = bad {
        let place = name[..at].chars().count() + 1;
        return Some(format!(
            "an event's name cannot contain {bad:?} (character {place} of {name:?}); \
             it is made of a-z A-Z 0-9 . _ -"
        ));
    }
    (name.len() > LONGEST).then(|| {
        let length = name.len();
        format!("this event's name has {length} characters; the most is {LONGEST}")
    })
}

/// A name in the usual form for a type: `OrderPlaced` becomes `order.placed`.
pub(crate) fn proposal(type_name: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut after_lower = false;
    for c in type_name.chars().filter(char::is_ascii_alphanumeric) {
        if words.is_empty() || (c.is_ascii_uppercase() && after_lower) {
            words.push(String::new());
        }
        after_lower = !c.is_ascii_uppercase();
        if let Some(word) = words.last_mut() {
            word.push(c.to_ascii_lowercase());
        }
    }
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, first)) => format!("{}.{last}", first.join("_")),
        None => "area.happened".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{fault, proposal};

    #[test]
    fn plain_names_pass() {
        for name in ["a", "orders.placed", "Orders_2.placed-v1", &"x".repeat(128)] {
            assert_eq!(fault(name), None);
        }
    }

    #[test]
    fn a_bad_name_says_where() {
        assert!(fault("größe").is_some_and(|fault| fault.contains("'ö' (character 3")));
        assert!(fault(&"x".repeat(129)).is_some_and(|fault| fault.contains("129")));
        assert!(fault("").is_some_and(|fault| fault.contains("empty")));
    }

    #[test]
    fn a_type_proposes_its_name() {
        assert_eq!(proposal("OrderPlaced"), "order.placed");
        assert_eq!(proposal("StockLevelChanged"), "stock_level.changed");
        assert_eq!(proposal("Ping"), "ping");
        assert_eq!(proposal("HTTPRequestSent"), "httprequest.sent");
        assert_eq!(proposal("Ä"), "area.happened");
    }
}
