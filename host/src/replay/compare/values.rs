//! The comparison of texts and JSON values.

use std::collections::BTreeSet;

use serde_json::Value;
use serde_json::value::RawValue;

use crate::replay::Difference;

/// Adds a difference if two texts are not equal.
pub(super) fn unequal(place: &str, before: &str, after: &str, differences: &mut Vec<Difference>) {
    if before != after {
        differences.push(Difference::new(place, Some(before), Some(after)));
    }
}

/// Compares two JSON texts. Texts that are nested too deep for values are
/// compared as they are.
pub(super) fn raw(
    place: &str,
    before: &RawValue,
    after: &RawValue,
    differences: &mut Vec<Difference>,
) {
    let parsed = |text: &RawValue| serde_json::from_str(text.get());
    match (parsed(before), parsed(after)) {
        (Ok(before), Ok(after)) => json(place, "", &before, &after, differences),
        (Err(_), _) | (_, Err(_)) => unequal(place, before.get(), after.get(), differences),
    }
}

/// Compares two JSON values. `pointer` is their place as an RFC 6901 pointer.
pub(super) fn json(
    place: &str,
    pointer: &str,
    before: &Value,
    after: &Value,
    differences: &mut Vec<Difference>,
) {
    let at = |pointer: &str| match pointer {
        "" => place.to_owned(),
        pointer => format!("{place} {pointer}:"),
    };
    match (before, after) {
        (before, after) if before == after => {}
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => json(place, &pointer, a, b, differences),
                    (a, b) => differences.push(Difference::new(
                        at(&pointer),
                        a.map(Value::to_string),
                        b.map(Value::to_string),
                    )),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                json(place, &format!("{pointer}/{index}"), a, b, differences);
            }
        }
        // Lists of different lengths are shown as a whole: one inserted element
        // would make all later ones differ.
        (before, after) => differences.push(Difference::new(
            at(pointer),
            Some(before.to_string()),
            Some(after.to_string()),
        )),
    }
}
