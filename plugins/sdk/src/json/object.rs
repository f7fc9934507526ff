//! Objects that keep the order of their keys.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::DeserializeOwned;
use serde::ser::SerializeMap;

use super::Json;
use super::NotJson;
use super::WrongShape;
use super::typed;
use super::write;
use crate::case;
use crate::case::Conversion;

/// A JSON object without duplicate keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Object(Vec<(String, Json)>);

impl Object {
    /// Creates an empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses a text that is one object.
    ///
    /// # Errors
    ///
    /// [`NotJson`], including for any other value.
    pub fn parse(text: &str) -> Result<Self, NotJson> {
        let json = Json::parse(text)?;
        json.into_object().ok_or_else(|| NotJson("it is not an object".to_owned()))
    }

    /// Creates an object from entries with possible duplicates: the last value
    /// of a key counts, at the position of the first.
    pub(super) fn of_entries(entries: Vec<(String, Json)>) -> Self {
        if !any_twice(entries.iter().map(|(key, _)| key.as_str())) {
            return Self(entries);
        }
        let mut places = BTreeMap::new();
        let mut firsts = Vec::with_capacity(entries.len());
        for (nth, (key, _)) in entries.iter().enumerate() {
            firsts.push(*places.entry(key.as_str()).or_insert(nth));
        }
        let mut kept: Vec<Option<(String, Json)>> = Vec::with_capacity(entries.len());
        for ((key, value), first) in entries.into_iter().zip(firsts) {
            match kept.get_mut(first) {
                Some(Some(entry)) => {
                    entry.1 = value;
                    kept.push(None);
                }
                Some(None) | None => kept.push(Some((key, value))),
            }
        }
        Self(kept.into_iter().flatten().collect())
    }

    /// Adds an entry, for building objects in a chain.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Json>) -> Self {
        self.set(key, value);
        self
    }

    /// Adds an entry unless `value` is `None`.
    #[must_use]
    pub fn with_optional(self, key: &str, value: Option<impl Into<Json>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Sets the value of a key, at the key's position or, if it is new, at the
    /// end.
    pub fn set(&mut self, key: &str, value: impl Into<Json>) {
        match self.get_mut(key) {
            Some(place) => *place = value.into(),
            None => self.0.push((key.to_owned(), value.into())),
        }
    }

    /// Removes an entry and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<Json> {
        let place = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(place).1)
    }

    /// Returns the value of exactly this key.
    pub fn get(&self, key: &str) -> Option<&Json> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Json> {
        self.0.iter_mut().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// Returns the value of a field of HOTH's representation. `name` is in
    /// camelCase; the snake_case that ServiceNow also sends is found too.
    /// Returns `None` for null.
    pub fn field(&self, name: &str) -> Option<&Json> {
        let present = |value: &&Json| !value.is_null();
        self.get(name).filter(present).or_else(|| self.get(&case::to_snake(name)).filter(present))
    }

    /// Returns the string of a [`Self::field`], or `None` for any other value.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.field(name)?.as_text()
    }

    /// Returns the existing [`Self::field`]s with these names, in this order
    /// and under these names.
    #[must_use]
    pub fn pick(&self, names: &[&str]) -> Self {
        names
            .iter()
            .fold(Self::new(), |picked, name| picked.with_optional(name, self.field(name).cloned()))
    }

    /// Returns the entries in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// See [`Json::into_snake_case`].
    #[must_use]
    pub fn into_snake_case(self) -> Self {
        self.with_keys(case::snake)
    }

    /// See [`Json::into_camel_case`].
    #[must_use]
    pub fn into_camel_case(self) -> Self {
        self.with_keys(case::camel)
    }

    /// See [`Json::read`].
    ///
    /// # Errors
    ///
    /// [`WrongShape`].
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, WrongShape> {
        typed::read(self)
    }

    /// Returns the object as compact JSON, as [`fmt::Display`] does, with one
    /// copy less.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        write::object(self, &mut text);
        text
    }

    /// Converts every key. A key whose conversion would be a duplicate keeps
    /// its spelling, so that no value is lost.
    pub(super) fn with_keys(mut self, convert: Conversion) -> Self {
        let converted = self.converted_keys(convert);
        for ((key, value), converted) in self.0.iter_mut().zip(converted) {
            if let Some(converted) = converted {
                *key = converted;
            }
            *value = mem::replace(value, Json::Null).with_keys(convert);
        }
        self
    }

    /// Returns the new spelling of every key, or `None` where a key keeps its
    /// own.
    fn converted_keys(&self, convert: Conversion) -> Vec<Option<String>> {
        let mut converted: Vec<_> = self.0.iter().map(|(key, _)| convert(key)).collect();
        // A second conversion changes nothing. Every converted key that would
        // be a duplicate is therefore in this list twice, even if one of its
        // sources was already converted.
        let spellings = self.0.iter().zip(&converted);
        if !any_twice(spellings.map(|((key, _), new)| new.as_ref().unwrap_or(key).as_str())) {
            return converted;
        }
        let mut taken = BTreeMap::new();
        for (key, _) in &self.0 {
            taken.insert(key.as_str(), 0);
        }
        // `taken` borrows the keys, so the decisions come first.
        let mut free = Vec::with_capacity(converted.len());
        for new in &converted {
            free.push(new.as_ref().is_some_and(|new| taken.insert(new.as_str(), 0).is_none()));
        }
        converted.iter_mut().zip(free).filter(|(_, free)| !free).for_each(|(new, _)| *new = None);
        converted
    }
}

/// Returns true if a key occurs twice.
fn any_twice<'a>(keys: impl ExactSizeIterator<Item = &'a str> + Clone) -> bool {
    /// Up to this number of keys, comparing all pairs is faster than sorting.
    const FEW: usize = 16;
    if keys.len() <= FEW {
        let mut rest = keys;
        return std::iter::from_fn(|| rest.next().map(|key| (key, rest.clone())))
            .any(|(key, mut later)| later.any(|other| other == key));
    }
    // A map of the kind that the rest of this module uses, so that a component
    // has the code of one.
    let mut seen = BTreeMap::new();
    let mut keys = keys;
    keys.any(|key| seen.insert(key, 0_usize).is_some())
}

/// Compact text.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        write::object(self, &mut text);
        f.write_str(&text)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = Json::deserialize(deserializer)?;
        json.into_object().ok_or_else(|| serde::de::Error::custom("it is not an object"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        Object::parse(text).expect(text)
    }

    #[test]
    fn a_chain_builds_an_object() {
        let written = Object::new()
            .with("b", "x")
            .with("a", true)
            .with_optional("c", None::<&str>)
            .with_optional("d", Some(1_u16))
            .with("b", Object::new());
        assert_eq!(written.to_string(), r#"{"b":{},"a":true,"d":1}"#);
    }

    #[test]
    fn a_field_has_two_spellings_and_null_is_none() {
        let object = object(
            r#"{"popStartDate":"a","pop_end_date":"b","type":null,"clinNumber":null,"clin_number":"1"}"#,
        );
        assert_eq!(object.text("popStartDate"), Some("a"));
        assert_eq!(object.text("popEndDate"), Some("b"));
        assert_eq!(object.text("clinNumber"), Some("1"));
        assert_eq!(object.field("type"), None);
        assert_eq!(object.text("other"), None);
        let picked = object.pick(&["popEndDate", "type", "popStartDate", "other"]);
        assert_eq!(picked.to_string(), r#"{"popEndDate":"b","popStartDate":"a"}"#);
    }

    #[test]
    fn keys_are_converted_at_every_depth_and_values_are_not() {
        let camel = object(
            r#"{"taskOrders":[{"dodId":"dodId","aB":[1.10,[{"cD":null}],"eF"]}],"il4Dod":{"x":1}}"#,
        );
        let snake = r#"{"task_orders":[{"dod_id":"dodId","a_b":[1.10,[{"c_d":null}],"eF"]}],"il4_dod":{"x":1}}"#;
        assert_eq!(camel.clone().into_snake_case().to_string(), snake);
        assert_eq!(object(snake).into_camel_case(), camel);
    }

    #[test]
    fn a_conversion_makes_no_key_twice() {
        let snake = |text| object(text).into_snake_case().to_string();
        let camel = |text| object(text).into_camel_case().to_string();
        assert_eq!(snake(r#"{"dodId":1,"dod_id":2}"#), r#"{"dodId":1,"dod_id":2}"#);
        assert_eq!(snake(r#"{"dod_id":2,"dodId":1}"#), r#"{"dod_id":2,"dodId":1}"#);
        assert_eq!(snake(r#"{"dodId":1,"dodID":2}"#), r#"{"dod_id":1,"dodID":2}"#);
        assert_eq!(camel(r#"{"dod_id":1,"dodId":2}"#), r#"{"dod_id":1,"dodId":2}"#);
        assert_eq!(camel(r#"{"a_b":1,"a__b":2,"a_b_":3}"#), r#"{"aB":1,"a__b":2,"aB_":3}"#);
    }

    #[test]
    fn entries_can_be_removed() {
        let mut object = object(r#"{"a":1,"b":2}"#);
        assert_eq!(object.remove("a").map(|value| value.to_string()), Some("1".to_owned()));
        assert_eq!(object.remove("a"), None);
        assert_eq!((object.len(), object.is_empty()), (1, false));
        assert_eq!(object.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["b"]);
    }
}
