//! A component as it is delivered.

use bytes::Bytes;

/// A component and its signature, if there is one.
#[derive(Debug, Clone)]
pub struct Package {
    pub wasm: Bytes,
    /// The text of the file that minisign writes.
    pub signature: Option<Bytes>,
}

impl From<Vec<u8>> for Package {
    fn from(wasm: Vec<u8>) -> Self {
        Self { wasm: wasm.into(), signature: None }
    }
}

impl From<&'static str> for Package {
    fn from(wasm: &'static str) -> Self {
        Self { wasm: wasm.into(), signature: None }
    }
}
