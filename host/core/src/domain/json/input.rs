//! Edits of a request's own text, which leave the rest of it as it was posted.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::MapAccess;
use serde::de::Visitor;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::domain::JobKind;

/// The entries of an object in their order, each value as its own text.
struct Entries<'a>(Vec<(Key<'a>, &'a RawValue)>);

/// The key of an entry. Only one with escapes is a text of its own.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Entries<'a> {
    /// Returns the entries of `text`.
    ///
    /// # Errors
    ///
    /// The text is not a JSON object, or has a key that is not Unicode: half a
    /// surrogate pair passes where a text is only skipped, as [`RawValue`] does.
    fn of(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// Removes and returns the entry `name`. Returns `None` if there is none.
    fn take(&mut self, name: &str) -> Option<&'a RawValue> {
        let at = self.0.iter().position(|(key, _)| key.0 == name)?;
        Some(self.0.remove(at).1)
    }
}

/// Returns the posted text with a generated id: in place of a `jobId` that is
/// null, otherwise as the first key. The rest of the text stays as it was.
pub fn with_job_id(body: &[u8], id: &str) -> Box<RawValue> {
    let text = str::from_utf8(body).expect("JSON that was read is UTF-8");
    let id = Value::from(id);
    // The text is edited and not written anew from a parsed value, which would
    // change numbers, escapes and white space: ServiceNow gets its request back
    // as it sent it.
    let entries = Entries::of(text);
    let posted = entries.expect("the body was read as an object, key by key").take("jobId");
    let filled = match posted {
        Some(null) => {
            let null = null.get();
            // The value borrows from `text`, so the distance of their addresses
            // is its position. A search for `null` could find another one.
            let at = null.as_ptr().addr() - text.as_ptr().addr();
            format!("{}{id}{}", &text[..at], &text[at + null.len()..])
        }
        None => {
            // The first brace opens the object, because only white space may
            // precede it. The comma is right, because an accepted request has
            // other keys.
            let (before, rest) = text.split_once('{').expect("it was read as an object");
            format!("{before}{{\"jobId\":{id},{rest}")
        }
    };
    serde_json::from_str(&filled).expect("an object with one more entry is an object")
}

/// Returns true if a stored request has the structure of an accepted one: an
/// object, and for provisioning an object as its payload, with keys that can be
/// read.
pub fn is_well_formed(kind: JobKind, request: &RawValue) -> bool {
    let Ok(mut entries) = Entries::of(request.get()) else { return false };
    match kind {
        JobKind::Cost => true,
        JobKind::Provisioning => {
            entries.take("payload").is_none_or(|payload| Entries::of(payload.get()).is_ok())
        }
    }
}

/// Returns the input of an adapter for a provisioning request, which must be
/// [well formed](is_well_formed).
pub fn provisioning_input(id: &str, request: &RawValue) -> String {
    let mut entries = Entries::of(request.get()).expect("the request is well formed");
    // The id and the renamed key are all that the request may not have.
    let capacity = request.get().len() + id.len() + r#"{"jobId":"","administrators":}"#.len();
    let mut input = ObjectText::with_capacity(capacity);
    input.key("jobId");
    input.quote(id);
    // `wit/v0.2/operations.md` promises these keys alone, and none that is
    // null: adapters read the operation and the CSP from the job itself.
    for name in ["userId", "portfolioId"] {
        if let Some(value) = entries.take(name).filter(|value| value.get() != "null") {
            input.key(name);
            input.text.push_str(value.get());
        }
    }
    if let Some(payload) = entries.take("payload") {
        input.key("payload");
        input.nested(|payload_text| write_payload(payload, payload_text));
    }
    input.end()
}

/// Writes a payload. Renames `operators`, a newer name for `administrators`:
/// adapters know only the older one.
fn write_payload(payload: &RawValue, text: &mut ObjectText) {
    let mut entries = Entries::of(payload.get()).expect("the request is well formed");
    let is_null = |value: &RawValue| value.get() == "null";
    let named = entries.0.iter().any(|(key, value)| key.0 == "administrators" && !is_null(value));
    if !named && let Some(operators) = entries.take("operators") {
        // Only a null can be left here. With it the object would have the key
        // twice, which parsers read in two ways.
        entries.take("administrators");
        entries.0.push((Key("administrators".into()), operators));
    }
    for (key, value) in &entries.0 {
        text.key(&key.0);
        text.text.push_str(value.get());
    }
}

/// The text of an object that is written entry by entry.
struct ObjectText {
    text: String,
    is_empty: bool,
}

impl ObjectText {
    /// Begins an object, with room for a text of this many bytes.
    fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self { text, is_empty: true }
    }

    /// Writes a key. The caller writes its value next.
    fn key(&mut self, key: &str) {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.text.push(',');
        }
        self.quote(key);
        self.text.push(':');
    }

    /// Writes a string.
    fn quote(&mut self, string: &str) {
        // The others are as they are (RFC 8259 section 7).
        let needs_escape = |byte| matches!(byte, 0..0x20 | b'"' | b'\\');
        if string.bytes().any(needs_escape) {
            self.text.push_str(&Value::from(string).to_string());
        } else {
            self.text.push('"');
            self.text.push_str(string);
            self.text.push('"');
        }
    }

    /// Writes an object as the value of the last key.
    fn nested(&mut self, write: impl FnOnce(&mut Self)) {
        self.text.push('{');
        self.is_empty = true;
        write(self);
        self.text.push('}');
        self.is_empty = false;
    }

    fn end(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                // A list, because a map would lose the order.
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key<'de>, &RawValue>()? {
                    entries.push((key, value));
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}
