//! The writer of compact JSON.
//!
//! It appends to one string. A formatter or a serializer would copy the text
//! once more, and is a large part of a small component.

use super::Json;
use super::Object;

/// Appends a value.
pub fn value(json: &Json, text: &mut String) {
    match json {
        Json::Null => text.push_str("null"),
        Json::Bool(true) => text.push_str("true"),
        Json::Bool(false) => text.push_str("false"),
        Json::Number(number) => text.push_str(number.as_str()),
        Json::Text(string) => self::string(string, text),
        Json::List(items) => list(items, text),
        Json::Object(object) => self::object(object, text),
    }
}

/// Appends a list.
pub fn list(items: &[Json], text: &mut String) {
    text.push('[');
    for (nth, item) in items.iter().enumerate() {
        if nth > 0 {
            text.push(',');
        }
        value(item, text);
    }
    text.push(']');
}

/// Appends an object.
pub fn object(object: &Object, text: &mut String) {
    text.push('{');
    for (nth, (key, json)) in object.iter().enumerate() {
        if nth > 0 {
            text.push(',');
        }
        string(key, text);
        text.push(':');
        value(json, text);
    }
    text.push('}');
}

/// Appends a string.
pub fn string(string: &str, text: &mut String) {
    text.push('"');
    let mut rest = string;
    let escaped = |byte: u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    while let Some(at) = rest.bytes().position(escaped) {
        // The byte is ASCII, so the text can be split before and after it.
        let (plain, special) = rest.split_at(at);
        text.push_str(plain);
        let (special, after) = special.split_at(1);
        escape(special.as_bytes().first().copied().unwrap_or_default(), text);
        rest = after;
    }
    text.push_str(rest);
    text.push('"');
}

fn escape(byte: u8, text: &mut String) {
    match byte {
        b'"' => text.push_str("\\\""),
        b'\\' => text.push_str("\\\\"),
        b'\n' => text.push_str("\\n"),
        b'\r' => text.push_str("\\r"),
        b'\t' => text.push_str("\\t"),
        0x8 => text.push_str("\\b"),
        0xc => text.push_str("\\f"),
        other => {
            text.push_str("\\u00");
            let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
            text.push(digit(other >> 4));
            text.push(digit(other & 0xf));
        }
    }
}
