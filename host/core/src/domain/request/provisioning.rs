//! `POST /provisioning-jobs`.

use serde_json::Value;

use super::Known;
use super::Parsed;
use super::cost::not_an_object;
use super::errors::Errors;
use super::fields::Fields;
use super::input::with_job_id;
use super::payload;
use super::strict;
use super::top;
use crate::domain::Job;
use crate::domain::JobKind;
use crate::domain::Operation;

/// The keys that a request may have; there are no others.
const TOP_KEYS: [&str; 6] =
    ["jobId", "userId", "portfolioId", "operationType", "targetCspName", "payload"];

/// Reads a provisioning request. A missing `jobId` is made with `new_id`, and
/// then is the first key of what was posted.
///
/// # Errors
///
/// [`Refusal`](super::Refusal), with every wrong field.
pub fn provisioning(body: &[u8], known: Known<'_>, new_id: impl FnOnce() -> String) -> Parsed {
    let Value::Object(map) = strict::read(body)? else { return Err(not_an_object()) };
    let mut errors = Errors::default();
    let fields = Fields::top(&map);
    fields.only(&TOP_KEYS, &mut errors);
    let id = top::id(&fields, "jobId", &mut errors);
    let csp = top::csp(&fields, known.csps, &mut errors);
    let operation = operation(&fields, &mut errors);
    if let (Some(csp), Some(operation)) = (&csp, operation) {
        top::offered(known.csps, csp, operation, "operationType", &mut errors);
    }
    let portfolio = match operation {
        None | Some(Operation::AddPortfolio) => fields.optional_text("portfolioId", &mut errors),
        Some(_) => fields.text("portfolioId", &mut errors),
    };
    user(&fields, operation, &mut errors);
    if let Some(payload) = fields.required("payload", &mut errors)
        && let Some(fields) = Fields::of(&payload, &mut errors)
        && let Some(operation) = operation
    {
        payload::check(&fields, operation, &mut errors);
    }
    errors.into_result()?;
    let (id, request) = match id {
        Some(id) => (id.to_owned(), top::verbatim(body)),
        None => {
            let id = new_id();
            let request = with_job_id(body, &id);
            (id, request)
        }
    };
    Ok(Job {
        id,
        kind: JobKind::Provisioning,
        operation: operation.expect("a missing one is an error"),
        csp: csp.expect("a missing one is an error"),
        portfolio_id: portfolio.map(str::to_owned),
        request,
    })
}

fn operation(fields: &Fields<'_>, errors: &mut Errors) -> Option<Operation> {
    let field = fields.required("operationType", errors)?;
    let operation = field.value.as_str().and_then(Operation::from_operation_type);
    if operation.is_none() {
        let words = Operation::OPERATION_TYPES.join(", ");
        errors.add(&field.path, format!("must be one of {words}"));
    }
    operation
}

/// `userId` may be empty, and may be missing where nothing is changed.
fn user(fields: &Fields<'_>, operation: Option<Operation>, errors: &mut Errors) {
    let field = match operation {
        Some(Operation::GetPortfolio) => fields.optional("userId", errors),
        Some(_) | None => fields.required("userId", errors),
    };
    if let Some(field) = field {
        field.text(errors);
    }
}
