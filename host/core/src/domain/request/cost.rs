//! `POST /cost-jobs`.

use serde_json::Map;
use serde_json::Value;

use super::Known;
use super::Parsed;
use super::formats;
use super::shape;
use super::top;
use super::top::Posted;
use crate::domain::Job;
use crate::domain::JobKind;
use crate::domain::Operation;
use crate::domain::json::Errors;
use crate::domain::json::Path;

/// Reads a cost request. `taskOrderNumber` and `clin` together ask for the
/// costs of one CLIN; other keys are kept.
///
/// # Errors
///
/// [`Refusal`](super::Refusal), with every wrong field.
pub fn cost(body: &[u8], known: Known<'_>) -> Parsed {
    let posted = Posted::read(body)?;
    let object = &posted.object;
    let mut errors = Errors::default();
    // Checked before the shape: the first error of a field stands, and this one
    // lists the configured CSPs.
    let csp = top::csp(object, known.csps, &mut errors);
    shape::COST_REQUEST.check(object, &Path::Root, &mut errors);
    check_period(object, &mut errors);
    let operation = match (top::text(object, "taskOrderNumber"), top::text(object, "clin")) {
        (None, None) => Operation::CostByPortfolio,
        // One without the other has its error already. Costs of the whole
        // portfolio would be the response to another question.
        (Some(_), _) | (_, Some(_)) => Operation::CostByClin,
    };
    if let Some(csp) = &csp {
        top::check_offered(known, csp, operation, "targetCspName", &mut errors);
    }
    errors.into_result()?;
    let id = top::text(object, "requestId").expect("the shape requires one");
    let request = top::verbatim(body);
    Ok(Job {
        id: id.parse().expect("the shape accepts job ids only"),
        kind: JobKind::Cost,
        operation,
        csp: csp.expect("the shape requires a name, and an unknown one is an error"),
        portfolio_id: top::portfolio_id(object),
        content: Some(posted.content_digest(&request)),
        request,
    })
}

/// Adds an error if the last day of `endDate` is before the first day of
/// `startDate`. A date that is missing or malformed has its error already.
fn check_period(object: &Map<String, Value>, errors: &mut Errors) {
    let start = top::text(object, "startDate").and_then(formats::first_day);
    let end = top::text(object, "endDate").and_then(formats::last_day);
    if let (Some(start), Some(end)) = (start, end)
        && end < start
    {
        errors.add(&Path::Key(&Path::Root, "endDate"), "must not be before startDate");
    }
}
