//! What both kinds of requests have at the top.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::errors::Errors;
use super::fields::Fields;
use crate::domain::CspName;
use crate::domain::Job;

/// Reads a `jobId` or `requestId` that must be good if it is there.
pub fn id<'a>(fields: &Fields<'a>, name: &str, errors: &mut Errors) -> Option<&'a str> {
    let field = fields.optional(name, errors)?;
    let id = field.text(errors)?;
    if id.is_empty() || id.len() > Job::ID_BYTES_MAX || id.chars().any(char::is_control) {
        let problem =
            format!("must be 1 to {} bytes without control characters", Job::ID_BYTES_MAX);
        errors.add(&field.path, problem);
        return None;
    }
    Some(id)
}

/// Reads the name of a CSP that is configured.
pub fn csp(fields: &Fields<'_>, known: &BTreeSet<CspName>, errors: &mut Errors) -> Option<CspName> {
    let field = fields.required("targetCspName", errors)?;
    let name = field.text(errors)?;
    let csp = name.parse().ok().filter(|name| known.contains(name));
    if csp.is_none() {
        let names: Vec<&str> = known.iter().map(CspName::as_str).collect();
        errors.add(&field.path, format!("is not a known CSP; known are {}", names.join(", ")));
    }
    csp
}

/// A body as it was posted; it has been read as JSON before.
pub fn verbatim(body: &[u8]) -> Box<RawValue> {
    serde_json::from_slice(body).expect("the body has just been read as JSON")
}
