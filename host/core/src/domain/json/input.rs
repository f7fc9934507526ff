//! Editing a request's own text, so that all else stays as it was posted.

use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::MapAccess;
use serde::de::Visitor;
use serde::ser::SerializeMap;
use serde_json::Value;
use serde_json::value::RawValue;
use serde_json::value::to_raw_value;

use crate::domain::JobKind;

/// The entries of an object in their order, each value as its own text.
struct Entries<'a>(Vec<(String, Entry<'a>)>);

enum Entry<'a> {
    Posted(&'a RawValue),
    Generated(Box<RawValue>),
}

impl Entry<'_> {
    fn raw(&self) -> &RawValue {
        match self {
            Self::Posted(raw) => raw,
            Self::Generated(raw) => raw,
        }
    }
}

impl<'a> Entries<'a> {
    /// Returns the entries of `text`, which has been read as a JSON object
    /// before.
    fn of(text: &'a str) -> Self {
        serde_json::from_str(text).expect("the text has been read as an object before")
    }

    /// Removes and returns the entry `name`.
    fn take(&mut self, name: &str) -> Option<Entry<'a>> {
        let at = self.0.iter().position(|(key, _)| key == name)?;
        Some(self.0.remove(at).1)
    }
}

/// Returns what was posted with a generated id: in place of a `jobId` that is
/// null, or else as the first key. All else stays as it was.
pub fn with_job_id(body: &[u8], id: &str) -> Box<RawValue> {
    let text = str::from_utf8(body).expect("JSON that was read is UTF-8");
    let id = Value::from(id);
    let posted = Entries::of(text).take("jobId");
    let filled = match posted {
        Some(null) => {
            let null = null.raw().get();
            // Both borrow from the same text, so the distance of their
            // addresses is the place of one in the other.
            let at = null.as_ptr().addr() - text.as_ptr().addr();
            format!("{}{id}{}", &text[..at], &text[at + null.len()..])
        }
        None => {
            let (before, rest) = text.split_once('{').expect("it was read as an object");
            format!("{before}{{\"jobId\":{id},{rest}")
        }
    };
    serde_json::from_str(&filled).expect("an object with one more entry is an object")
}

/// Returns whether a stored request has the structure of an accepted one: an
/// object, and for provisioning an object as its payload.
pub fn is_well_formed(kind: JobKind, request: &RawValue) -> bool {
    // A raw value begins with its first token.
    let is_object = |raw: &RawValue| raw.get().starts_with('{');
    is_object(request)
        && match kind {
            JobKind::Cost => true,
            JobKind::Provisioning => Entries::of(request.get())
                .take("payload")
                .is_none_or(|payload| is_object(payload.raw())),
        }
}

/// Returns the input of an adapter for a provisioning request, which must be
/// [well formed](is_well_formed).
pub fn provisioning_input(id: &str, request: &RawValue) -> String {
    let mut entries = Entries::of(request.get());
    let id = to_raw_value(id).expect("a string can be written");
    let mut input = vec![("jobId".to_owned(), Entry::Generated(id))];
    for name in ["userId", "portfolioId"] {
        if let Some(entry) = entries.take(name).filter(|entry| entry.raw().get() != "null") {
            input.push((name.to_owned(), entry));
        }
    }
    if let Some(payload) = entries.take("payload") {
        let payload = with_administrators(payload.raw());
        input.push(("payload".to_owned(), Entry::Generated(payload)));
    }
    serde_json::to_string(&Entries(input))
        .expect("maps have string keys and writing to memory succeeds")
}

/// Renames `operators`, a newer name for `administrators`: adapters know only
/// the older one.
fn with_administrators(payload: &RawValue) -> Box<RawValue> {
    let mut entries = Entries::of(payload.get());
    let is_null = |entry: &Entry<'_>| entry.raw().get() == "null";
    let named = entries.0.iter().any(|(key, entry)| key == "administrators" && !is_null(entry));
    if !named && let Some(operators) = entries.take("operators") {
        // It is missing or null; a second one would repeat the key.
        entries.take("administrators");
        entries.0.push(("administrators".to_owned(), operators));
    }
    to_raw_value(&entries).expect("maps have string keys and writing to memory succeeds")
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
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    entries.push((key, Entry::Posted(value)));
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, entry) in &self.0 {
            map.serialize_entry(key, entry.raw())?;
        }
        map.end()
    }
}
