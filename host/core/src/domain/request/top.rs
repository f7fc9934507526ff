//! What both kinds of requests have at the top.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::errors::Errors;
use super::fields::Fields;
use crate::domain::CspName;
use crate::domain::Job;
use crate::domain::Operation;
use crate::domain::SupportedOperations;

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
pub fn csp(
    fields: &Fields<'_>,
    known: &BTreeMap<CspName, SupportedOperations>,
    errors: &mut Errors,
) -> Option<CspName> {
    let field = fields.required("targetCspName", errors)?;
    let name = field.text(errors)?;
    let csp = name.parse().ok().filter(|name| known.contains_key(name));
    if csp.is_none() {
        let names: Vec<&str> = known.keys().map(CspName::as_str).collect();
        errors.add(&field.path, format!("is not a known CSP; known are {}", names.join(", ")));
    }
    csp
}

/// Blames `field` for an operation that the CSP does not offer.
pub fn offered(
    known: &BTreeMap<CspName, SupportedOperations>,
    csp: &CspName,
    operation: Operation,
    field: &str,
    errors: &mut Errors,
) {
    let Some(offer) = known.get(csp).filter(|offer| !offer.includes(operation)) else { return };
    let (word, words) = (operation.api_name(), offer.names().join(", "));
    errors.add(field, format!("{csp} does not offer {word}; it offers {words}"));
}

/// A body as it was posted; it has been read as JSON before.
pub fn verbatim(body: &[u8]) -> Box<RawValue> {
    serde_json::from_slice(body).expect("the body has just been read as JSON")
}
