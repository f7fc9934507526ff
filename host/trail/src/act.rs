//! Acts: who did what on which object.

use serde::Serialize;

use hoth_core::domain::Timestamp;
use hoth_core::domain::rfc3339;

/// An act of an operator, a client or the host's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Act {
    #[serde(serialize_with = "rfc3339::serialize")]
    pub at: Timestamp,
    /// The word of the act: `deploy`, `pause`, `redrive`.
    pub act: String,
    /// The name of the caller's key.
    pub by: String,
    /// The id of the object: of a CSP, an adapter, a queue, a path.
    pub object: String,
    /// A sentence, or the numbers of the act.
    pub details: String,
}

/// The acts to list.
#[derive(Debug, Clone, Default)]
pub struct ActFilter {
    pub act: Option<String>,
    pub by: Option<String>,
    pub object: Option<String>,
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}
