//! The reference of errors: the meaning, who acts, the next step.

use axum::Extension;
use axum::response::Response;
use maud::html;

use crate::console::layout::Page;
use crate::console::layout::Section;
use crate::http::auth::Principal;

/// An error that HOTH can report.
struct Reference {
    code: &'static str,
    meaning: &'static str,
    who: &'static str,
    next: &'static str,
}

const fn reference(
    code: &'static str,
    meaning: &'static str,
    who: &'static str,
    next: &'static str,
) -> Reference {
    Reference { code, meaning, who, next }
}

/// Codes of outcomes.
const OUTCOMES: [Reference; 9] = [
    reference("200", "The CSP did it.", "–", "–"),
    reference(
        "201 to 399",
        "The adapter reports partial success; `response` says what of it.",
        "ServiceNow",
        "Read the status of each part in `response`.",
    ),
    reference(
        "400",
        "The CSP, or the adapter before any call, refused what was asked for.",
        "ServiceNow",
        "Mend the request as `details` says, and submit a new job.",
    ),
    reference(
        "401, 403",
        "The CSP refused HOTH's credential, or the credential lacks a right.",
        "Operator",
        "Look at the CSP's page; mend the credential or its rights, then submit the job again.",
    ),
    reference(
        "404",
        "What the job names does not exist at the CSP.",
        "ServiceNow",
        "Check the portfolio, environment or task order; submit a new job.",
    ),
    reference(
        "409",
        "It exists already, or another change is in progress at the CSP.",
        "ServiceNow",
        "Look at what exists; submit a new job if it is still needed.",
    ),
    reference(
        "408, 425, 429",
        "The CSP asked to be called later, and did so until the retries were used up.",
        "Operator",
        "Lower csp.NAME.max_concurrent, or ask the CSP for a higher limit.",
    ),
    reference(
        "500",
        "The job failed at the CSP, the adapter trapped, HOTH could not go on, or an operator cancelled the job.",
        "Operator",
        "Open the job: its timeline has the step and the reason. Redrive it if it is a dead letter; submit a new job if one was cancelled by mistake.",
    ),
    reference(
        "502, 503, 504",
        "HOTH got no usable answer in time.",
        "Operator",
        "Look at the CSP's page for an outage. Jobs accepted during an outage wait; only jobs that used up their retries end so.",
    ),
];

/// Reasons in errors of the HTTP API.
const REASONS: [Reference; 16] = [
    reference(
        "VALIDATION",
        "The body or a parameter is wrong; `errorMap` names each field.",
        "Client",
        "Mend the fields; do not repeat the request unchanged.",
    ),
    reference(
        "BAD_REQUEST",
        "The request is wrong in another way, which the message names.",
        "Client",
        "Mend the request.",
    ),
    reference(
        "UNAUTHENTICATED",
        "The key is missing, unknown, or the signature does not match.",
        "Client",
        "Check the key. The host's log has the reason (`Authentication failed`).",
    ),
    reference(
        "FORBIDDEN",
        "The key is known, and its role does not permit this.",
        "Operator",
        "Use a key with another role; see docs/access.md.",
    ),
    reference(
        "NOT_FOUND",
        "There is nothing at this path, or no such job.",
        "Client",
        "Check the path or the id.",
    ),
    reference(
        "METHOD_NOT_ALLOWED",
        "The path exists, for other methods; `Allow` lists them.",
        "Client",
        "Use one of them.",
    ),
    reference("TIMEOUT", "The request did not arrive in time.", "Client", "Send it again."),
    reference(
        "CONFLICT",
        "It contradicts an earlier request, such as another job with this id.",
        "Client",
        "Use a new id for new content.",
    ),
    reference(
        "LEASE_EXPIRED",
        "The lease is over; its outcomes are back on the queue.",
        "Client",
        "Collect again, with a longer lease.",
    ),
    reference(
        "TOO_LARGE",
        "The body is larger than the limit that the message names.",
        "Client",
        "Send less, or raise api.max_body_bytes.",
    ),
    reference(
        "UNSUPPORTED_MEDIA_TYPE",
        "The body is not JSON in UTF-8, or is compressed.",
        "Client",
        "Send application/json without a content coding.",
    ),
    reference(
        "REFUSED",
        "A component, or what a form selects, is refused for the reason given.",
        "Integrator",
        "Mend the component; the active version still serves.",
    ),
    reference(
        "TOO_MANY_REQUESTS",
        "The key's rate is used up.",
        "Client",
        "Wait for `Retry-After` seconds.",
    ),
    reference(
        "INTERNAL",
        "A fault of HOTH.",
        "Operator",
        "The log has the cause at the same time.",
    ),
    reference("NOT_SUPPORTED", "The queue backend cannot do this.", "Operator", "See docs/sqs.md."),
    reference(
        "UNAVAILABLE",
        "The queue cannot be reached, or its disk is full. Nothing was accepted.",
        "Client",
        "Send it again after `Retry-After` seconds; it is safe to repeat.",
    ),
];

/// Handles `GET /console/errors`.
pub async fn list(Extension(principal): Extension<Principal>) -> Response {
    let table = |caption: &str, head: &str, rows: &[Reference]| {
        html! { div class="scroll" tabindex="0" { table {
            caption { (caption) }
            thead { tr {
                th scope="col" { (head) } th scope="col" { "Meaning" }
                th scope="col" { "Who acts" } th scope="col" { "Next step" }
            } }
            tbody { @for row in rows { tr id=(row.code) {
                th scope="row" { code { (row.code) } }
                td class="text" { (row.meaning) } td { (row.who) } td class="text" { (row.next) }
            } } }
        } } }
    };
    let body = html! {
        h2 { "Codes of outcomes" }
        (table("The code in the message that ServiceNow collects.", "Code", &OUTCOMES))
        h2 { "Reasons of refused requests" }
        (table("The word `reason` in an error of the HTTP API.", "Reason", &REASONS))
    };
    let page = Page { section: Section::Errors, title: "Errors", live: false, notice: None, body };
    page.render(&principal)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::Reason;

    #[test]
    fn every_reason_is_explained() {
        let explained: BTreeSet<String> = REASONS.iter().map(|row| row.code.to_owned()).collect();
        let reasons = Reason::ALL.map(|reason| serde_json::to_value(reason).unwrap());
        let reasons = reasons.map(|reason| reason.as_str().unwrap().to_owned());
        assert_eq!(explained, BTreeSet::from(reasons));
    }
}
