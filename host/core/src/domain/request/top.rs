//! The top level of a request, which both resources share.

use std::collections::BTreeMap;

use serde_json::Map;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Known;
use crate::domain::CspName;
use crate::domain::Digest;
use crate::domain::Operation;
use crate::domain::PortfolioId;
use crate::domain::SupportedOperations;
use crate::domain::json;
use crate::domain::json::Document;
use crate::domain::json::Errors;
use crate::domain::json::Path;
use crate::domain::json::Refusal;

/// A posted body, which is an object.
pub struct Posted {
    pub object: Map<String, Value>,
    /// See [`Document::has_all_numbers`].
    has_all_numbers: bool,
}

impl Posted {
    /// Reads a body that must be an object.
    pub fn read(body: &[u8]) -> Result<Self, Refusal> {
        let Document { value, has_all_numbers } = json::read(body)?;
        match value {
            Value::Object(object) => Ok(Self { object, has_all_numbers }),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => {
                let problem = "must be a JSON object".to_owned();
                Err(Refusal::Invalid(BTreeMap::from([("body".to_owned(), problem)])))
            }
        }
    }

    /// Returns the digest of the content. `request` is its text, from which it
    /// is read again only if numbers are missing here.
    pub fn content_digest(self, request: &RawValue) -> Digest {
        match self.has_all_numbers {
            true => json::digest(&Value::Object(self.object)),
            false => json::content_digest(request),
        }
    }
}

/// Returns the text of a field, or `None` if it is missing, null or empty.
///
/// Reports no error: the check of the shape does that, before or after.
pub fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Returns the portfolio that a request names, or `None` if it names none.
pub fn portfolio_id(object: &Map<String, Value>) -> Option<PortfolioId> {
    text(object, "portfolioId").and_then(|id| id.parse().ok())
}

/// Returns the CSP that a request names, if it is configured.
///
/// Adds an error for any other name. A name that is missing or not a string
/// gets its error from the shape.
pub fn csp(
    object: &Map<String, Value>,
    known: &BTreeMap<CspName, SupportedOperations>,
    errors: &mut Errors,
) -> Option<CspName> {
    let name = object.get("targetCspName").and_then(Value::as_str)?;
    // A name that does not parse cannot be configured, so one error serves
    // both.
    let csp = name.parse().ok().filter(|name| known.contains_key(name));
    if csp.is_none() {
        let names: Vec<&str> = known.keys().map(CspName::as_str).collect();
        let problem = format!("is not a known CSP; known are {}", names.join(", "));
        errors.add(&Path::Key(&Path::Root, "targetCspName"), problem);
    }
    csp
}

/// Adds an error to `field` if the CSP does not offer the operation.
pub fn check_offered(
    known: Known<'_>,
    csp: &CspName,
    operation: Operation,
    field: &str,
    errors: &mut Errors,
) {
    let lacks = |offer: &SupportedOperations| !offer.includes(operation);
    let listed = known.csps.get(csp).filter(|offer| lacks(offer)).cloned();
    let Some(offer) = listed.or_else(|| Some((known.served)(csp)).filter(lacks)) else { return };
    let (name, names) = (operation.api_name(), offer.names().join(", "));
    let problem = format!("{csp} does not offer {name}; it offers {names}");
    errors.add(&Path::Key(&Path::Root, field), problem);
}

/// Returns a body exactly as it was posted. The body has been read as JSON
/// before.
pub fn verbatim(body: &[u8]) -> Box<RawValue> {
    serde_json::from_slice(body).expect("the body has just been read as JSON")
}
