//! An event as a line: for people, or as JSON.

use std::collections::BTreeMap;

use serde::Serialize;
use tidings::{Envelope, Position};

use crate::{
    base16,
    output::{Output, Tone},
    text::{Harmless, is_harmful},
};

/// How many bytes of a payload that is not JSON are shown to people.
const SHOWN: usize = 64;

/// Everything about an event but its payload.
#[derive(Serialize)]
struct Head<'a> {
    position: u64,
    name: &'a str,
    version: u32,
    id: String,
    published_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causation_id: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, &'a str>,
    codec: &'a str,
}

/// An event as a JSON object, with `more` fields, whose names need no escapes.
pub(crate) fn json(
    position: Position,
    envelope: &Envelope,
    payload: &[u8],
    more: &[(&str, serde_json::Value)],
) -> Result<String, serde_json::Error> {
    let head = Head {
        position: position.get(),
        name: &envelope.name,
        version: envelope.version,
        id: envelope.id.to_string(),
        published_at: envelope.published_at.to_string(),
        key: envelope.key.as_ref().map(tidings::Key::as_str),
        correlation_id: envelope.correlation.as_ref().map(ToString::to_string),
        causation_id: envelope.causation.map(|id| id.to_string()),
        headers: envelope.headers.iter().collect(),
        codec: &envelope.codec,
    };
    let mut line = serde_json::to_string(&head)?;
    line.pop(); // the closing brace
    let mut field = |name: &str, value: &str| {
        line.extend([",\"", name, "\":", value]);
    };
    for (name, value) in more {
        field(name, &value.to_string());
    }
    match text(envelope, payload) {
        Some(text) => field("payload", &on_one_line(text)),
        None => {
            field("payload_base16", &format!("\"{}\"", base16::encode(payload)));
            field("payload_bytes", &payload.len().to_string());
        }
    }
    line.push('}');
    Ok(line)
}

/// An event as a line for people.
pub(crate) fn line(
    output: &Output,
    position: Position,
    envelope: &Envelope,
    payload: &[u8],
) -> String {
    let time = output.paint(Tone::Quiet, envelope.published_at);
    let name = output.paint(Tone::Name, Harmless(&envelope.name));
    let version = output.paint(Tone::Quiet, format!("v{}", envelope.version));
    let key = envelope.key.as_ref().map(|key| format!(" key={}", Harmless(key.as_str())));
    let payload = shown(envelope, payload);
    format!("{position:>8} {time} {name} {version}{} {payload}", key.unwrap_or_default())
}

/// A payload for people.
pub(crate) fn shown(envelope: &Envelope, payload: &[u8]) -> String {
    if let Some(text) = text(envelope, payload) {
        return Harmless(&on_one_line(text)).to_string();
    }
    let start = base16::encode(payload.get(..SHOWN).unwrap_or(payload));
    let rest = if payload.len() > SHOWN { ".." } else { "" };
    format!("0x{start}{rest} ({} bytes)", payload.len())
}

/// A payload that is JSON, as it is: reading and writing it again would change large numbers.
fn text<'a>(envelope: &Envelope, payload: &'a [u8]) -> Option<&'a str> {
    if &*envelope.codec != "json" {
        return None;
    }
    let text = std::str::from_utf8(payload).ok()?;
    serde_json::from_str::<serde_json::Value>(text).ok().map(|_| text)
}

/// The same JSON without line breaks and controls. In JSON line breaks stand between tokens only,
/// and other controls in strings only.
fn on_one_line(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for letter in json.chars() {
        match letter {
            '\n' | '\r' | '\t' => line.push(' '),
            letter if is_harmful(letter) => line += &escape(letter),
            letter => line.push(letter),
        }
    }
    line
}

/// All harmful letters have at most 16 bits.
fn escape(letter: char) -> String {
    format!("\\u{:04x}", u32::from(letter))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::Value;
    use tidings::MessageId;

    use super::*;

    fn show(codec: &str, payload: &[u8]) -> (String, Value) {
        let mut envelope = Envelope::new("a\"b\n", 1, MessageId::from_bytes([7; 16]));
        envelope.codec = codec.into();
        let line = json(Position::FIRST, &envelope, payload, &[]).unwrap();
        assert!(!line.contains('\n'));
        let value = serde_json::from_str(&line).unwrap();
        (line, value)
    }

    #[test]
    fn a_payload_of_json_is_shown_as_it_is() {
        let (line, value) = show("json", b"{\n\t\"n\": 123456789012345678901234567890.10}");
        assert!(
            line.ends_with("\"payload\":{  \"n\": 123456789012345678901234567890.10}}"),
            "{line}"
        );
        assert_eq!(value["name"], "a\"b\n");
        let (_, value) = show("json", "\"\u{9b}\u{202e}\"".as_bytes());
        assert_eq!(value["payload"], "\u{9b}\u{202e}");
    }

    #[test]
    fn any_other_payload_is_shown_as_bytes() {
        for (codec, payload) in [("json", &b"{}}"[..]), ("json", b"\"\xff\""), ("cbor", b"{}")] {
            let (_, value) = show(codec, payload);
            assert_eq!(value["payload_base16"], base16::encode(payload));
            assert_eq!(value["payload_bytes"], payload.len());
        }
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(show("json", deep.as_bytes()).1["payload_base16"].is_string());
    }
}
