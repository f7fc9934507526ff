//! What arrives: a component, and perhaps a signature.

use bytes::Bytes;

/// A component as somebody hands it over.
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
