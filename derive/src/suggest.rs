//! "Did you mean ..?": the nearest of the names that exist.

/// The end of an error message's first line, or nothing when no candidate is near.
pub(crate) fn did_you_mean<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> String {
    nearest(written, candidates)
        .map_or_else(String::new, |near| format!(", did you mean `{near}`?"))
}

/// Names as a list for an error message: `` `a`, `b`, `c` ``.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// The candidate that was probably meant.
pub(crate) fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(written, candidate), candidate))
        .filter(|&(distance, candidate)| is_near(distance, written, candidate))
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

fn is_near(distance: usize, written: &str, candidate: &str) -> bool {
    let part = written.len() >= 2 && (candidate.contains(written) || written.contains(candidate));
    part || distance <= written.len().max(candidate.len()) / 3
}

/// Edits between two names; two swapped neighbours are one edit, since that is how typing slips.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<_>, Vec<_>) = (a.to_lowercase().chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                rows[i][j] = i + j;
                continue;
            }
            let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            rows[i][j] = changed.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                rows[i][j] = rows[i][j].min(rows[i - 2][j - 2] + 1);
            }
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[test]
    fn edits_are_counted() {
        assert_eq!(distance("name", "name"), 0);
        assert_eq!(distance("nmae", "name"), 1);
        assert_eq!(distance("nam", "name"), 1);
        assert_eq!(distance("", "name"), 4);
    }

    #[test]
    fn the_nearest_name_is_found_if_it_is_near() {
        let options = ["name", "version", "key", "key_with", "codec"];
        assert_eq!(nearest("nmae", options), Some("name"));
        assert_eq!(nearest("Version", options), Some("version"));
        assert_eq!(nearest("keywith", options), Some("key_with"));
        assert_eq!(nearest("keys", options), Some("key"));
        assert_eq!(nearest("retention", options), None);
        assert_eq!(nearest("order", ["order_id", "total"]), Some("order_id"));
    }
}
