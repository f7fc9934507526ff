//! The names of adapters.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

/// The name of an adapter: its file name without `.wasm`.
///
/// 1 to 64 ASCII letters, digits, `-` and `_`. It names a file, so it cannot
/// contain anything that leaves the directory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AdapterName(Arc<str>);

/// An invalid adapter name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an adapter name (1 to 64 letters, digits, `-` and `_`)")]
pub struct BadAdapterName(String);

impl AdapterName {
    const LEN_MAX: usize = 64;

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AdapterName {
    type Err = BadAdapterName;

    fn from_str(name: &str) -> Result<Self, BadAdapterName> {
        let fits = (1..=Self::LEN_MAX).contains(&name.len());
        let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !(fits && plain) {
            return Err(BadAdapterName(name.to_owned()));
        }
        Ok(Self(name.into()))
    }
}

impl fmt::Display for AdapterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for AdapterName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
