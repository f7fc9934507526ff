//! `POST /cost-jobs`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Known;
use super::Parsed;
use super::Refusal;
use super::errors::Errors;
use super::fields::Fields;
use super::strict;
use super::top;
use crate::domain::Job;
use crate::domain::JobKind;
use crate::domain::Operation;

/// Reads a cost request. `taskOrderNumber` together with `clin` asks for the
/// costs of one CLIN; other keys travel along.
///
/// # Errors
///
/// [`Refusal`], with every wrong field.
pub fn cost(body: &[u8], known: Known<'_>) -> Parsed {
    let Value::Object(map) = strict::read(body)? else { return Err(not_an_object()) };
    let mut errors = Errors::default();
    let fields = Fields::top(&map);
    let id = top::id(&fields, "requestId", &mut errors);
    if fields.optional("requestId", &mut errors).is_none() {
        errors.add("requestId", "is required");
    }
    let portfolio = fields.text("portfolioId", &mut errors);
    let csp = top::csp(&fields, known.csps, &mut errors);
    fields.date("startDate", &mut errors);
    fields.date("endDate", &mut errors);
    let task_order = fields.optional_text("taskOrderNumber", &mut errors);
    let clin = fields.optional_text("clin", &mut errors);
    let operation = match (task_order, clin) {
        (Some(_), Some(_)) => Operation::CostByClin,
        (_, None) | (None, _) => Operation::CostByPortfolio,
    };
    if let Some(csp) = &csp {
        top::offered(known.csps, csp, operation, "targetCspName", &mut errors);
    }
    errors.into_result()?;
    Ok(Job {
        id: id.expect("a missing one is an error").to_owned(),
        kind: JobKind::Cost,
        operation,
        csp: csp.expect("a missing one is an error"),
        portfolio_id: portfolio.map(str::to_owned),
        request: top::verbatim(body),
    })
}

/// The refusal of a list, a number, a text.
pub fn not_an_object() -> Refusal {
    Refusal::Invalid(BTreeMap::from([("body".to_owned(), "must be a JSON object".to_owned())]))
}
