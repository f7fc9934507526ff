//! The comparison of requests.

use std::collections::BTreeSet;

use super::values::json;
use super::values::unequal;
use crate::replay::Difference;
use hoth_core::domain::Digest;
use hoth_core::domain::HttpRequest;
use hoth_core::domain::Target;

/// Returns `true` if the response to one request is also a response to the
/// other: both have the same method and resource. Headers and bodies may differ.
/// A CSP could respond to them differently, but the recorded response is the
/// best approximation.
pub fn same_resource(before: &HttpRequest, after: &HttpRequest) -> bool {
    before.method == after.method
        && before.target == after.target
        && sorted(&before.query) == sorted(&after.query)
}

/// Describes a request in one line.
pub(super) fn line(request: &HttpRequest) -> String {
    let target = &request.target;
    let query: Vec<_> =
        request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    format!("{} {target}{query}", request.method.as_str())
}

/// Compares two requests.
pub(super) fn requests(
    before: &HttpRequest,
    after: &HttpRequest,
    differences: &mut Vec<Difference>,
) {
    if !same_resource(before, after) {
        let mut lines = (line(before), line(after));
        if lines.0 == lines.1 {
            // The same text, once as a path and once as a location.
            let mark = |request: &HttpRequest, line| match request.target {
                Target::Path(_) => format!("{line} (path)"),
                Target::Endpoint(_) => format!("{line} (endpoint)"),
                Target::Location(_) => format!("{line} (location)"),
            };
            lines = (mark(before, lines.0), mark(after, lines.1));
        }
        differences.push(Difference::new("request", Some(lines.0), Some(lines.1)));
    }
    headers(&before.headers, &after.headers, differences);
    bodies(before.body.as_deref(), after.body.as_deref(), differences);
    let credential = |request: &HttpRequest| request.credential.to_string();
    unequal("credential", &credential(before), &credential(after), differences);
    // The order of scopes has no meaning (RFC 6749 section 3.3).
    let scopes = |request: &HttpRequest| {
        let scopes: BTreeSet<&str> = request.scopes.iter().map(String::as_str).collect();
        scopes.into_iter().collect::<Vec<_>>().join(" ")
    };
    unequal("scopes", &scopes(before), &scopes(after), differences);
    unequal("retry", before.retry.as_str(), after.retry.as_str(), differences);
}

/// Compares headers. The order of headers with different names has no meaning.
fn headers(
    before: &[(String, String)],
    after: &[(String, String)],
    differences: &mut Vec<Difference>,
) {
    // Names are case-insensitive (RFC 9110 section 5.1). The order of values with
    // the same name matters (section 5.3), so these are joined and not sorted.
    let lower = |pairs: &[(String, String)]| -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
    };
    let (before, after) = (lower(before), lower(after));
    let names: BTreeSet<&str> =
        before.iter().chain(&after).map(|(name, _)| name.as_str()).collect();
    for name in names {
        let of = |pairs: &[(String, String)]| {
            let values: Vec<_> =
                pairs.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect();
            (!values.is_empty()).then(|| values.join(", "))
        };
        let (before, after) = (of(&before), of(&after));
        if before != after {
            differences.push(Difference::new(format!("header {name}:"), before, after));
        }
    }
}

/// Compares bodies, as JSON if both are JSON.
fn bodies(before: Option<&[u8]>, after: Option<&[u8]>, differences: &mut Vec<Difference>) {
    if before == after {
        return;
    }
    let parsed = |body: Option<&[u8]>| body.and_then(|body| serde_json::from_slice(body).ok());
    match (parsed(before), parsed(after)) {
        (Some(before), Some(after)) => json("body", "", &before, &after, differences),
        (None, _) | (_, None) => {
            let text = |body: Option<&[u8]>| {
                body.map(|body| match str::from_utf8(body) {
                    Ok(text) => format!("{text:?}"),
                    Err(_) => format!("{} bytes, {}", body.len(), Digest::of(body).short()),
                })
            };
            differences.push(Difference::new("body", text(before), text(after)));
        }
    }
}

/// Sorts a query by name only: the order of values with the same name may have
/// a meaning.
fn sorted(query: &[(String, String)]) -> Vec<&(String, String)> {
    let mut query: Vec<_> = query.iter().collect();
    query.sort_by(|a, b| a.0.cmp(&b.0));
    query
}
