//! The scopes of an access token (RFC 6749 section 3.3).

use std::collections::BTreeSet;

/// A set of scopes. It is ordered because order and repetition carry no
/// meaning: equal sets share one cached token.
pub type Scopes = BTreeSet<String>;

/// Returns scopes as one value.
pub fn joined(scopes: &Scopes) -> String {
    scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}
