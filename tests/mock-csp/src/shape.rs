//! Rules for the shape of a JSON object, whatever API it belongs to.
//!
//! Each function adds a sentence to `broken` where its rule does not hold. `at`
//! is the way to the object, with a dot at its end; empty for the outermost.

use serde_json::Map;
use serde_json::Value;

/// A JSON object.
pub type Object = Map<String, Value>;

/// No key but these.
pub fn only(object: &Object, keys: &[&str], broken: &mut Vec<String>) {
    for key in object.keys().filter(|key| !keys.contains(&key.as_str())) {
        broken.push(format!("`{key}` does not belong into the body"));
    }
}

/// A string.
pub fn text(object: &Object, at: &str, key: &str, broken: &mut Vec<String>) {
    if !object.get(key).is_some_and(Value::is_string) {
        broken.push(format!("`{at}{key}` is not a string"));
    }
}

/// One of these strings.
pub fn one_of(object: &Object, at: &str, key: &str, words: &[&str], broken: &mut Vec<String>) {
    let word = object.get(key).and_then(Value::as_str);
    if !word.is_some_and(|word| words.contains(&word)) {
        broken.push(format!("`{at}{key}` is not one of {}", words.join(", ")));
    }
}

/// A date; see [`is_date`].
pub fn date(object: &Object, at: &str, key: &str, broken: &mut Vec<String>) {
    if !object.get(key).and_then(Value::as_str).is_some_and(is_date) {
        broken.push(format!("`{at}{key}` is not a date"));
    }
}

/// A list of objects, each of which `check` holds to its rules.
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

/// `YYYY-MM-DD` or `YYYY-MM`.
pub fn is_date(text: &str) -> bool {
    let digits = |part: &&str| part.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = text.split('-').filter(digits).collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    text.split('-').count() == parts.len() && matches!(lengths[..], [4, 2] | [4, 2, 2])
}
