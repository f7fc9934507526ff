//! From text to values, level by level.
//!
//! `serde_json` checks the grammar. It would read numbers into binary ones, so
//! it is asked for raw text instead, first of the whole and then of each part;
//! a text is thus read once for each level that it is nested.

use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::MapAccess;
use serde::de::Visitor;
use serde_json::value::RawValue;

use super::Json;
use super::NESTING_MAX;
use super::Number;
use super::Object;

/// Reads one value, or says what is wrong.
pub fn text(text: &str) -> Result<Json, String> {
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
    value(raw, NESTING_MAX)
}

/// Reads `raw`, in which `levels` levels may be nested.
fn value(raw: &RawValue, levels: usize) -> Result<Json, String> {
    let text = raw.get();
    let deeper = || {
        levels
            .checked_sub(1)
            .ok_or_else(|| format!("it is nested deeper than {NESTING_MAX} levels"))
    };
    // Raw text has been checked and begins with its first token.
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let levels = deeper()?;
            let Entries(entries) = part(text)?;
            let entries = entries.into_iter().map(|(key, raw)| Ok((key, value(raw, levels)?)));
            Json::Object(Object::of_entries(entries.collect::<Result<_, String>>()?))
        }
        Some(b'[') => {
            let levels = deeper()?;
            let items: Vec<&RawValue> = part(text)?;
            let items = items.into_iter().map(|raw| value(raw, levels));
            Json::List(items.collect::<Result<_, String>>()?)
        }
        Some(b'"') => Json::Text(part(text)?),
        Some(b't') => Json::Bool(true),
        Some(b'f') => Json::Bool(false),
        Some(b'n') => Json::Null,
        Some(_) | None => Json::Number(Number::of(raw)),
    })
}

fn part<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// An object's entries in their order.
struct Entries<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}
