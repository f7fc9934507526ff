//! Strict reading of JSON: bounded nesting, and no key twice in one object.
//!
//! `serde_json` alone takes the last of two values for one key, and another
//! reader may take the first (RFC 8259 section 4 leaves it open).

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use serde::de::DeserializeSeed;
use serde::de::Deserializer;
use serde::de::Error as _;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;
use serde_json::Map;
use serde_json::Value;
use serde_json::map::Entry;

use super::NESTING_MAX;
use super::Refusal;
use super::errors::Errors;
use super::numbers;
use super::path::Path;

/// A text that was read.
#[derive(Debug)]
pub struct Document {
    pub value: Value,
    /// False if the text has a number that no double holds, which is 0 in
    /// `value`.
    pub has_all_numbers: bool,
}

/// Reads a whole body. A number that no double holds is read as 0.
///
/// # Errors
///
/// [`Refusal::NotJson`], [`Refusal::TooDeep`], or [`Refusal::Invalid`] with
/// every key that is given twice.
pub fn read(body: &[u8]) -> Result<Document, Refusal> {
    let findings = RefCell::new(Findings::default());
    let text = numbers::zeroed(body);
    let has_all_numbers = matches!(text, Cow::Borrowed(_));
    let mut reader = serde_json::Deserializer::from_slice(&text);
    let seed = Strict { depth: 0, path: &Path::Root, findings: &findings };
    let value = seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    let findings = findings.into_inner();
    // Too much nesting stops the reader with the same kind of error as
    // malformed text, so this finding comes first.
    if findings.too_deep {
        return Err(Refusal::TooDeep);
    }
    match value {
        Err(_) if body.trim_ascii().is_empty() => Err(Refusal::NotJson("is empty".to_owned())),
        Err(error) => Err(Refusal::NotJson(syntax_problem(&error, findings.broken_at))),
        Ok(Value::Null) => Err(Refusal::NotJson("is null".to_owned())),
        Ok(value) => {
            findings.repeated_keys.into_result().map(|()| Document { value, has_all_numbers })
        }
    }
}

/// Describes a syntax error with its line, its column and the field around it.
fn syntax_problem(error: &serde_json::Error, field: Option<String>) -> String {
    let text = error.to_string();
    // serde_json calls half of a surrogate pair this in two of three cases.
    let text = text.replace("unexpected end of hex escape", "lone leading surrogate in hex escape");
    match field.filter(|field| !field.is_empty()) {
        Some(field) => format!("is not valid JSON: {text}, in the field {field}"),
        None => format!("is not valid JSON: {text}"),
    }
}

/// The faults that the visitors find.
///
/// They are kept apart from serde's error, which ends the reading: all repeated
/// keys are reported, and nesting that is too deep is told from text that is
/// not JSON.
#[derive(Default)]
struct Findings {
    too_deep: bool,
    /// The innermost value that could not be read.
    broken_at: Option<String>,
    repeated_keys: Errors,
}

/// A reader of one value at `path`, inside `depth` lists and objects.
struct Strict<'a> {
    depth: usize,
    path: &'a Path<'a>,
    findings: &'a RefCell<Findings>,
}

impl Strict<'_> {
    fn enter<E: serde::de::Error>(&self) -> Result<(), E> {
        // Before the elements are read: it bounds the recursion, and so the
        // stack.
        if self.depth < NESTING_MAX {
            return Ok(());
        }
        self.findings.borrow_mut().too_deep = true;
        Err(E::custom("too deep"))
    }

    /// Records that the value at `path` cannot be read, unless a value inside it
    /// is the broken one. Returns the error.
    fn broken<E>(&self, path: &Path<'_>, error: E) -> E {
        self.findings.borrow_mut().broken_at.get_or_insert_with(|| path.text());
        error
    }

    fn inside<'b>(&'b self, path: &'b Path<'b>) -> Strict<'b> {
        Strict { depth: self.depth + 1, path, findings: self.findings }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut list = Vec::new();
        loop {
            let path = Path::Item(self.path, list.len());
            let item = items.next_element_seed(self.inside(&path));
            let Some(item) = item.map_err(|error| self.broken(&path, error))? else { break };
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let path = Path::Key(self.path, &key);
            // Read even under a repeated key, so that faults inside it are
            // found.
            let value = entries.next_value_seed(self.inside(&path));
            let value = value.map_err(|error| self.broken(&path, error))?;
            match map.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(value);
                }
                Entry::Occupied(entry) => {
                    let path = Path::Key(self.path, entry.key());
                    self.findings.borrow_mut().repeated_keys.add(&path, "is given twice");
                }
            }
        }
        if map.len() > KEYS_MAX {
            return Err(A::Error::custom("too many keys"));
        }
        Ok(Value::Object(map))
    }
}

/// The most keys of one object: about as many as the largest body can hold.
const KEYS_MAX: usize = 65_536;
