//! JSON texts of guests.

use serde_json::value::RawValue;

use super::Violation;
use super::at_most;

/// The longest JSON text, in bytes, by the WIT; also the limit of SQS for a
/// whole message.
pub(super) const JSON_BYTES_MAX: usize = 1 << 20;

/// The deepest nesting in an outcome. Common JSON parsers stop at 128; the
/// message and the array around it take four levels.
const JSON_DEPTH_MAX: usize = 100;

/// Checks the text of a JSON object. `owner` and `field` are for messages.
pub(super) fn json_object(
    owner: &str,
    field: &str,
    text: String,
) -> Result<Box<RawValue>, Violation> {
    // The size first, so that no parser reads more than the limit.
    at_most(format_args!("{owner}'s {field} has"), text.len(), JSON_BYTES_MAX)?;
    let json = RawValue::from_string(text)
        .map_err(|error| format!("{owner}'s {field} is not JSON: {error}"))?;
    // A raw value begins with its first token, because `serde_json` drops the
    // white space around it.
    if !json.get().starts_with('{') {
        return Err(format!("{owner}'s {field} is not a JSON object"));
    }
    match incompatible_json(json.get()) {
        Some(what) => Err(format!("{owner}'s {field} {what}")),
        None => Ok(json),
    }
}

/// Returns true if a text that is a JSON object has no keys.
pub(super) fn is_empty_object(json: &RawValue) -> bool {
    json.get()[1..].trim_start().starts_with('}')
}

/// Finds valid JSON (RFC 8259 sections 8.2 and 9) that common parsers refuse: a
/// client could not read the batch of messages with it.
pub(super) fn incompatible_json(json: &str) -> Option<String> {
    let unit = |escape: &str| {
        let digits = escape.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    // In UTF-8 no other character contains a byte of ASCII, so the scan can go
    // by bytes.
    let bytes = json.as_bytes();
    let (mut at, mut depth, mut in_text) = (0, 0_usize, false);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match (byte, in_text) {
            (b'"', _) => in_text = !in_text,
            (b'{' | b'[', false) => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Some(format!("is nested deeper than {JSON_DEPTH_MAX} levels"));
                }
            }
            // The JSON is valid, so every closing bracket has an opening one.
            (b'}' | b']', false) => depth -= 1,
            // The JSON is valid, so a backslash in a text begins an escape.
            (b'\\', true) => {
                let escape = &json[at - 1..];
                // Skips the escape without its backslash: a letter, or `u` and
                // four digits, or both halves of a pair with the backslash
                // between.
                at += match unit(escape) {
                    None => 1,
                    Some(0xd800..=0xdbff)
                        if matches!(unit(&escape[6..]), Some(0xdc00..=0xdfff)) =>
                    {
                        11
                    }
                    Some(0xd800..=0xdfff) => {
                        return Some("has half of a surrogate pair, which is no character".into());
                    }
                    Some(_) => 5,
                };
            }
            _ => {}
        }
    }
    None
}
