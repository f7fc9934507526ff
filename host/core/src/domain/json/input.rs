//! Edits of a request's own text, which leave the rest of it as it was posted.

use std::borrow::Cow;
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
struct Entries<'a>(Vec<(Key<'a>, Entry<'a>)>);

/// The key of an entry. Only one with escapes is a text of its own.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The value of an entry.
enum Entry<'a> {
    /// A part of the posted text.
    Posted(&'a RawValue),
    /// A text that HOTH made.
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
    fn take(&mut self, name: &str) -> Option<Entry<'a>> {
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
            let null = null.raw().get();
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
            entries.take("payload").is_none_or(|payload| Entries::of(payload.raw().get()).is_ok())
        }
    }
}

/// Returns the input of an adapter for a provisioning request, which must be
/// [well formed](is_well_formed).
pub fn provisioning_input(id: &str, request: &RawValue) -> String {
    let mut entries = Entries::of(request.get()).expect("the request is well formed");
    let id = to_raw_value(id).expect("a string can be written");
    let mut input = vec![(Key("jobId".into()), Entry::Generated(id))];
    // `wit/v0.2/operations.md` promises these keys alone, and none that is
    // null: adapters read the operation and the CSP from the job itself.
    for name in ["userId", "portfolioId"] {
        if let Some(entry) = entries.take(name).filter(|entry| entry.raw().get() != "null") {
            input.push((Key(name.into()), entry));
        }
    }
    if let Some(payload) = entries.take("payload") {
        let payload = with_administrators(payload.raw());
        input.push((Key("payload".into()), Entry::Generated(payload)));
    }
    serde_json::to_string(&Entries(input))
        .expect("maps have string keys and writing to memory succeeds")
}

/// Renames `operators`, a newer name for `administrators`: adapters know only
/// the older one.
fn with_administrators(payload: &RawValue) -> Box<RawValue> {
    let mut entries = Entries::of(payload.get()).expect("the request is well formed");
    let is_null = |entry: &Entry<'_>| entry.raw().get() == "null";
    let named = entries.0.iter().any(|(key, entry)| key.0 == "administrators" && !is_null(entry));
    if !named && let Some(operators) = entries.take("operators") {
        // Only a null can be left here. With it the object would have the key
        // twice, which parsers read in two ways.
        entries.take("administrators");
        entries.0.push((Key("administrators".into()), operators));
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
                // A list, because a map would lose the order.
                let mut entries = Vec::new();
                while let Some((key, value)) = map.next_entry::<Key<'de>, &RawValue>()? {
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
            map.serialize_entry(&key.0, entry.raw())?;
        }
        map.end()
    }
}
