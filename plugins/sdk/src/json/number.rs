//! Numbers that keep their text.

use std::fmt;

use serde::Serialize;
use serde::Serializer;
use serde_json::value::RawValue;

/// A JSON number. Two numbers are equal if their texts are: `1.0` is not `1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number(Box<str>);

impl Number {
    /// Creates a number from a token of a checked text.
    pub(super) fn of(token: &str) -> Self {
        Self(token.into())
    }

    /// Returns the text of the number, for parsing as any type.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A raw value is the only way to make serde_json write the digits
        // unchanged.
        let raw = RawValue::from_string(self.as_str().to_owned());
        raw.map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

macro_rules! from {
    ($($integer:ty),*) => {
        $(impl From<$integer> for Number {
            fn from(value: $integer) -> Self {
                Self(value.to_string().into())
            }
        })*
    };
}

from!(u16, u32, u64, i64);
