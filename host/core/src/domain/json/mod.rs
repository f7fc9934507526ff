//! The JSON text of requests: strict reading, and edits that leave the rest of
//! the text as it was posted.
//!
//! A key that is given twice and nesting beyond [`NESTING_MAX`] are refused,
//! because two readers could understand them in two ways.

mod errors;
mod input;
mod numbers;
mod path;
mod strict;

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

pub use errors::Errors;
pub use input::is_well_formed;
pub use input::provisioning_input;
pub use input::with_job_id;
pub use path::Path;
pub use strict::Document;
pub use strict::read;

use super::Digest;

/// The deepest nesting of a request body. Requests of this API have six levels.
pub const NESTING_MAX: usize = 64;

/// The reason for refusing a request body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Text that is not JSON, an empty body, or `null`. Holds what is wrong,
    /// and where: the line, the column and the field.
    NotJson(String),
    /// Nested deeper than [`NESTING_MAX`] levels.
    TooDeep,
    /// JSON of the wrong shape: every wrong field (the first hundred of them)
    /// with its problem, such as `payload.administrators[0].dodId` →
    /// `is required`.
    Invalid(BTreeMap<String, String>),
}

/// Returns the digest of the content of an accepted request, independent of its
/// spelling.
pub fn content_digest(request: &RawValue) -> Digest {
    // An accepted request can be read. Another program may have written a
    // message that cannot; its content counts as null.
    let content = read(&numbers::quoted(request.get().as_bytes()));
    digest(&content.map_or(Value::Null, |document| document.value))
}

/// Returns the digest of a value that has all numbers of its text. Equal values
/// have equal digests, whatever the order of their keys.
pub fn digest(value: &Value) -> Digest {
    // `serde_json` keeps the keys of a map sorted (without its feature
    // `preserve_order`), so equal values have equal texts.
    let text = serde_json::to_vec(value);
    Digest::of(&text.expect("maps have string keys and writing to memory succeeds"))
}
