//! Rules for the shape of a JSON object, whatever API it belongs to.
//!
//! Each function adds a sentence to `broken` if its rule is broken. `at` is the
//! path to the object, with a dot at its end; empty for the outermost.

use serde_json::Map;
use serde_json::Value;

/// A JSON object.
pub type Object = Map<String, Value>;

/// Checks that the object has no other keys.
pub fn only(object: &Object, keys: &[&str], broken: &mut Vec<String>) {
    for key in object.keys().filter(|key| !keys.contains(&key.as_str())) {
        broken.push(format!("`{key}` does not belong into the body"));
    }
}

/// Checks that the value is a string.
pub fn text(object: &Object, at: &str, key: &str, broken: &mut Vec<String>) {
    if !object.get(key).is_some_and(Value::is_string) {
        broken.push(format!("`{at}{key}` is not a string"));
    }
}

/// Checks that the value is one of these strings.
pub fn one_of(object: &Object, at: &str, key: &str, words: &[&str], broken: &mut Vec<String>) {
    let word = object.get(key).and_then(Value::as_str);
    if !word.is_some_and(|word| words.contains(&word)) {
        broken.push(format!("`{at}{key}` is not one of {}", words.join(", ")));
    }
}

/// Checks that the value is a date; see [`is_date`].
pub fn date(object: &Object, at: &str, key: &str, broken: &mut Vec<String>) {
    if !object.get(key).and_then(Value::as_str).is_some_and(is_date) {
        broken.push(format!("`{at}{key}` is not a date"));
    }
}

/// Checks that the value is a list of objects, and each object with `check`.
pub fn each(
    object: &Object,
    at: &str,
    key: &str,
    broken: &mut Vec<String>,
    check: fn(&Object, &str, &mut Vec<String>),
) {
    let Some(list) = object.get(key).and_then(Value::as_array) else {
        broken.push(format!("`{at}{key}` is not a list"));
        return;
    };
    for (index, item) in list.iter().enumerate() {
        match item.as_object() {
            Some(item) => check(item, &format!("{at}{key}[{index}]."), broken),
            None => broken.push(format!("`{at}{key}[{index}]` is not an object")),
        }
    }
}

/// Returns `true` for `YYYY-MM-DD` and `YYYY-MM`.
pub fn is_date(text: &str) -> bool {
    let digits = |part: &&str| part.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = text.split('-').filter(digits).collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    text.split('-').count() == parts.len() && matches!(lengths[..], [4, 2] | [4, 2, 2])
}
