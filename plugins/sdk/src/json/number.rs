//! Numbers as they are written.

use std::fmt;

use serde::Serialize;
use serde::Serializer;
use serde_json::value::RawValue;

/// A JSON number. Two are equal when they are written alike: `1.0` is not `1`.
#[derive(Debug, Clone)]
pub struct Number(Box<RawValue>);

impl Number {
    /// `token` is one of a text that has been checked.
    pub(super) fn of(token: &str) -> Result<Self, String> {
        RawValue::from_string(token.to_owned()).map(Self).map_err(|error| error.to_string())
    }

    /// The number as it is written; parse it as what you need.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Number {}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

macro_rules! from {
    ($($integer:ty),*) => {
        $(impl From<$integer> for Number {
            fn from(value: $integer) -> Self {
                let raw = RawValue::from_string(value.to_string());
                Self(raw.expect("the digits of an integer are a JSON number"))
            }
        })*
    };
}

from!(u16, u32, u64, i64);
