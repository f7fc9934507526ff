//! JSON that keeps the text of numbers and the order of keys.
//!
//! A CSP's `1.10` is money and `12345678901234567890` an account; a conversion
//! to binary numbers would change both.

mod number;
mod object;
mod read;
mod typed;
mod write;

use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;
use serde::de::DeserializeOwned;
use serde::de::Visitor;
use serde_json::value::RawValue;

pub use number::Number;
pub use object::Object;

use crate::case;

/// The greatest nesting of objects and lists. The parser rejects deeper text:
/// no CSP needs such nesting, and every reader of JSON has a bound of this
/// kind. The host's bound for an outcome is 100.
pub const NESTING_MAX: usize = 96;

/// One JSON value.
///
/// A value can be part of an adapter's state: serde reads and writes it, with
/// `serde_json` only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Json>),
    Object(Object),
}

/// The error of a text that is not JSON, is nested deeper than [`NESTING_MAX`],
/// or contains a string that is not Unicode (an unpaired surrogate).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("it is not JSON: {0}")]
pub struct NotJson(String);

/// The error of JSON that does not match the requested type. It quotes no
/// value, unless the type itself reads with errors of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct WrongShape {
    what: String,
    /// True for an error of the type's own.
    may_quote: bool,
}

impl WrongShape {
    fn without_values(what: String) -> Self {
        Self { what, may_quote: false }
    }

    /// Returns true if the text may quote a value.
    pub fn may_quote(&self) -> bool {
        self.may_quote
    }
}

impl Json {
    /// Parses a text. The last value of a duplicate key counts, at the position
    /// of the first, as in ServiceNow's JavaScript.
    ///
    /// # Errors
    ///
    /// [`NotJson`] for any text that is not exactly one value.
    pub fn parse(text: &str) -> Result<Self, NotJson> {
        read::text(text).map_err(NotJson)
    }

    /// Parses bytes, which must be UTF-8. A byte order mark is skipped, because
    /// some servers always send it.
    ///
    /// # Errors
    ///
    /// [`NotJson`].
    pub fn parse_bytes(bytes: &[u8]) -> Result<Self, NotJson> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = str::from_utf8(bytes).map_err(|error| NotJson(error.to_string()))?;
        Self::parse(text)
    }

    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Returns the Boolean, or `None` for any other value.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            Self::Null | Self::Number(_) | Self::Text(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// Returns the number, or `None` for any other value, such as a string of
    /// digits.
    pub fn as_number(&self) -> Option<&Number> {
        match self {
            Self::Number(number) => Some(number),
            Self::Null | Self::Bool(_) | Self::Text(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// Returns the string, or `None` for any other value, such as a number.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::List(_) | Self::Object(_) => None,
        }
    }

    /// Returns the items of a list, or `None` for any other value.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::Object(_) => None,
        }
    }

    /// Returns the object, or `None` for any other value.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// Returns the object without copying it, or `None` for any other value.
    pub fn into_object(self) -> Option<Object> {
        match self {
            Self::Object(object) => Some(object),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        }
    }

    /// Converts the keys of every object in the value to snake_case.
    ///
    /// [`case`] has the rules for unusual keys. Values do not change.
    #[must_use]
    pub fn into_snake_case(self) -> Self {
        self.with_keys(case::snake)
    }

    /// Converts the keys of every object in the value to camelCase.
    #[must_use]
    pub fn into_camel_case(self) -> Self {
        self.with_keys(case::camel)
    }

    /// Deserializes the value.
    ///
    /// # Errors
    ///
    /// [`WrongShape`] with the mismatch.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, WrongShape> {
        typed::read(self)
    }

    /// Returns the value as compact JSON, as [`fmt::Display`] does, with one
    /// copy less.
    pub(crate) fn to_text(&self) -> String {
        let mut text = String::new();
        write::value(self, &mut text);
        text
    }

    fn with_keys(self, convert: case::Conversion) -> Self {
        match self {
            Self::List(items) => {
                Self::List(items.into_iter().map(|item| item.with_keys(convert)).collect())
            }
            Self::Object(object) => Self::Object(object.with_keys(convert)),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => self,
        }
    }
}

/// Formats as compact JSON.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        write::value(self, &mut text);
        f.write_str(&text)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => items.serialize(serializer),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(typed::AS_TEXT, JsonVisitor)
    }
}

/// A visitor that gets the text of a value, which keeps the digits of numbers.
struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    /// Reads what this crate passes: the text itself.
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Json, E> {
        Json::parse(text).map_err(E::custom)
    }

    /// Reads what `serde_json` passes: a reader that can give the text.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, reader: D) -> Result<Json, D::Error> {
        let raw = Box::<RawValue>::deserialize(reader)?;
        Json::parse(raw.get()).map_err(serde::de::Error::custom)
    }
}

macro_rules! from {
    ($($type:ty => $variant:ident($convert:expr)),* $(,)?) => {
        $(impl From<$type> for Json {
            fn from(value: $type) -> Self {
                Self::$variant($convert(value))
            }
        })*
    };
}

from! {
    bool => Bool(std::convert::identity),
    &str => Text(str::to_owned),
    String => Text(std::convert::identity),
    &String => Text(String::clone),
    Vec<Json> => List(std::convert::identity),
    Object => Object(std::convert::identity),
    &Object => Object(Object::clone),
    u16 => Number(Number::from),
    u32 => Number(Number::from),
    u64 => Number(Number::from),
    i64 => Number(Number::from),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_they_were_read() {
        for text in [
            "null",
            "true",
            "1.10",
            "12345678901234567890",
            "-0",
            "1E+05",
            "0.30000000000000004000",
            r#""ä\"\\\n\u0000""#,
            "[]",
            "{}",
            r#"{"z":1.0,"a":{"10":[1e2,null,{"b":""}],"2":-0.0}}"#,
        ] {
            assert_eq!(Json::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(
            Json::parse(" { \"a\" :\t[ 1.50 ,2 ] } ").unwrap().to_string(),
            r#"{"a":[1.50,2]}"#
        );
        assert_eq!(Json::parse(r#""\u00e9\/\ud83d\ude00""#).unwrap().to_string(), "\"é/😀\"");
    }

    #[test]
    fn text_that_is_not_json_is_refused() {
        for text in [
            "",
            " ",
            "nul",
            "01",
            "1.",
            "+1",
            "NaN",
            "'a'",
            "{a:1}",
            "[1,]",
            "{\"a\":1,}",
            "[1] 2",
            "\"\n\"",
            "[\"\\ud800\"]",
            "{\"\\udc00\":1}",
            "{\"a\":\"\\ud800x\"}",
            "{\"a\"}",
            "{1:2}",
            "[",
            "\u{feff}{}",
        ] {
            assert!(Json::parse(text).is_err(), "{text:?}");
        }
        assert!(Json::parse_bytes(b"\"\xff\"").is_err());
        assert!(Json::parse_bytes(b"\"\xed\xa0\x80\"").is_err());
        assert_eq!(Json::parse_bytes(b"\xef\xbb\xbf{}"), Ok(Json::Object(Object::new())));
    }

    #[test]
    fn nesting_has_a_bound() {
        let lists = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let objects = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        for nested in [lists(NESTING_MAX), objects(NESTING_MAX)] {
            let json = Json::parse(&nested).expect("the bound is allowed");
            assert_eq!(json.into_camel_case().into_snake_case().to_string(), nested);
        }
        for nested in [lists(NESTING_MAX + 1), objects(NESTING_MAX + 1), lists(100_000)] {
            assert!(Json::parse(&nested).is_err());
        }
    }

    #[test]
    fn the_last_value_of_a_duplicate_key_counts() {
        let json = Json::parse(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(json.to_string(), r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn json_can_be_part_of_a_state() {
        #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        struct State {
            page: u32,
            so_far: Vec<Json>,
            last: Option<Object>,
        }
        let state = State {
            page: 2,
            so_far: vec![Json::parse(r#"{"b":1.10,"a":null}"#).unwrap()],
            last: Some(Object::new().with("n", 7_u64)),
        };
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(text, r#"{"page":2,"so_far":[{"b":1.10,"a":null}],"last":{"n":7}}"#);
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
    }

    #[test]
    fn a_mismatched_type_is_named() {
        let json = Json::parse(r#"{"a":[1,"x"]}"#).unwrap();
        let wrong = json.read::<std::collections::BTreeMap<String, Vec<u8>>>().unwrap_err();
        assert_eq!(wrong.to_string(), "invalid type: string, expected u8");
    }

    proptest::proptest! {
        #[test]
        fn no_input_makes_the_parser_panic(bytes in proptest::collection::vec(0_u8.., 0..64)) {
            let _ = Json::parse_bytes(&bytes);
        }

        #[test]
        fn serde_json_reads_the_same(text in r#"[\[\]{}",:a1.eE+\\u\-d80 \n]{0,40}"#) {
            let ours = Json::parse(&text);
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            match ours {
                Ok(ours) => {
                    let again = ours.to_string();
                    proptest::prop_assert_eq!(Json::parse(&again), Ok(ours));
                    // A number that no binary one can hold is still JSON.
                    if let Ok(theirs) = theirs {
                        proptest::prop_assert_eq!(
                            serde_json::from_str::<serde_json::Value>(&again).expect("it is JSON"),
                            theirs
                        );
                    }
                }
                Err(_) => proptest::prop_assert!(theirs.is_err(), "{}", text),
            }
        }

        #[test]
        fn written_json_is_read_back(json in any_json()) {
            let text = json.to_string();
            proptest::prop_assert_eq!(Json::parse(&text).map(|read| read.to_string()), Ok(text));
        }
    }

    fn any_json() -> impl proptest::strategy::Strategy<Value = serde_json::Value> {
        use proptest::prelude::*;

        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(5, 40, 5, |inner| {
            let list = prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into);
            let entries = prop::collection::btree_map(any::<String>(), inner, 0..5);
            let object =
                entries.prop_map(|map| serde_json::Value::Object(map.into_iter().collect()));
            prop_oneof![list, object]
        })
    }
}
