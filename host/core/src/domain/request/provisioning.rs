//! `POST /provisioning-jobs`.

use serde_json::Value;

use super::Known;
use super::Parsed;
use super::shape;
use super::top;
use super::top::Posted;
use crate::domain::Job;
use crate::domain::JobId;
use crate::domain::JobKind;
use crate::domain::Operation;
use crate::domain::json::Errors;
use crate::domain::json::Path;
use crate::domain::json::with_job_id;

/// Reads a provisioning request. Generates a missing `jobId` with `new_id`, and
/// adds it to the request as the first key.
///
/// # Errors
///
/// [`Refusal`](super::Refusal), with every wrong field.
pub fn provisioning(body: &[u8], known: Known<'_>, new_id: impl FnOnce() -> JobId) -> Parsed {
    let mut posted = Posted::read(body)?;
    let object = &posted.object;
    let mut errors = Errors::default();
    let operation = top::text(object, "operationType").and_then(Operation::from_operation_type);
    // Checked before the shape: the first error of a field stands, and this one
    // lists the configured CSPs.
    let csp = top::csp(object, known.csps, &mut errors);
    // An unknown operation is checked as far as all operations agree, so that
    // the client learns of other wrong fields in the same response.
    let shape = operation.map_or(&shape::UNKNOWN_OPERATION, shape::of_operation);
    shape.check(object, &Path::Root, &mut errors);
    if let (Some(csp), Some(operation)) = (&csp, operation) {
        top::check_offered(known, csp, operation, "operationType", &mut errors);
    }
    errors.into_result()?;
    // The shape has refused an empty `jobId`, so `None` means missing or null.
    // An id is generated only for an accepted request.
    let (id, request) = match top::text(object, "jobId") {
        Some(id) => (id.parse().expect("the shape accepts job ids only"), top::verbatim(body)),
        None => {
            let id = new_id();
            let request = with_job_id(body, id.as_str());
            // As in the text of the request: the digest is of all of it.
            posted.object.insert("jobId".to_owned(), Value::from(id.as_str()));
            (id, request)
        }
    };
    Ok(Job {
        id,
        kind: JobKind::Provisioning,
        operation: operation.expect("the shape requires a known one"),
        csp: csp.expect("the shape requires a name, and an unknown one is an error"),
        portfolio_id: top::portfolio_id(&posted.object),
        content: Some(posted.content_digest(&request)),
        request,
    })
}
