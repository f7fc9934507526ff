//! Rules for a request, whatever API it belongs to.
//!
//! Each function adds a sentence to `broken` if its rule is broken.

use serde_json::Value;

use crate::server::Call;

/// Checks that the header is there once, with this value.
pub fn equal(call: &Call, name: &str, expected: &str, broken: &mut Vec<String>) {
    let values: Vec<&str> = call.headers_named(name).collect();
    if values != [expected] {
        broken.push(format!("`{name}` is {values:?}, not `{expected}`"));
    }
}

/// Checks that the body is JSON and labelled so. Returns `None` if it is not
/// JSON.
pub fn json(call: &Call, broken: &mut Vec<String>) -> Option<Value> {
    let types: Vec<&str> = call.headers_named("content-type").collect();
    let is_json = |text: &str| text.split(';').next().map(str::trim) == Some("application/json");
    if !matches!(types[..], [one] if is_json(one)) {
        broken.push(format!("`content-type` is {types:?}, not `application/json`"));
    }
    serde_json::from_slice(&call.body)
        .map_err(|error| broken.push(format!("the body is not JSON: {error}")))
        .ok()
}
