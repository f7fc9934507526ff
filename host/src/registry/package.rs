//! A component as it is delivered.

use bytes::Bytes;

use hoth_core::domain::Digest;

/// A component and its signature, if there is one.
#[derive(Debug, Clone)]
pub struct Package {
    pub wasm: Bytes,
    /// The text of the file that minisign writes.
    pub signature: Option<Bytes>,
}

impl Package {
    /// Returns the digest of the component. Computed on a thread for blocking
    /// work, because a component has up to 64 MiB.
    pub(super) async fn digest(&self) -> Digest {
        let wasm = self.wasm.clone();
        let digest = tokio::task::spawn_blocking(move || Digest::of(&wasm)).await;
        digest.expect("the digest does not panic, and is not cancelled")
    }
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
