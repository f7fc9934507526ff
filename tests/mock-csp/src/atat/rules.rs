//! The rules of the ATAT API for a request.

use serde_json::Value;
use time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::body;
use super::route;
use super::route::Operation;
use super::route::Route;
use super::version::Version;
use crate::identity::BadToken;
use crate::identity::Tokens;
use crate::rules;
use crate::server::Call;
use crate::shape::is_date;

const USER_AGENT: &str = "ATAT CSP Api Client";

/// The largest distance of a deadline from the one that the API states. The
/// adapter sets it when the job begins, and retries may take time after that.
const DEADLINE_TOLERANCE: Duration = Duration::minutes(5);

/// A request that breaks no rule.
#[derive(Debug)]
pub struct ValidRequest {
    pub operation: Operation,
    /// The decoded ids of the path, in their order.
    pub ids: Vec<String>,
    /// The body, or `null` if there is none.
    pub body: Value,
}

/// A request that breaks rules.
#[derive(Debug)]
pub struct InvalidRequest {
    /// The status of the answer: 401 or 403 if only the token is bad.
    pub status: u16,
    pub broken: Vec<String>,
}

/// Checks a request against version `version` of the API.
pub fn validate(
    call: &Call,
    version: Version,
    tokens: &Tokens,
) -> Result<ValidRequest, InvalidRequest> {
    let mut broken = Vec::new();
    rules::equal(call, "user-agent", USER_AGENT, &mut broken);
    rules::equal(call, "x-atat-api-version", &version.to_string(), &mut broken);
    let (route, ids) = match route::find(&call.method, call.path(), version) {
        Ok(found) => found,
        Err(reason) => {
            broken.push(reason);
            return Err(InvalidRequest { status: 400, broken });
        }
    };
    query(call, route, &mut broken);
    let body = read_body(call, route, &mut broken);
    deadline(call, route, &body, &mut broken);
    let refused = token(call, route, tokens);
    let status = match (&refused, broken.is_empty()) {
        (Some((status, _)), true) => *status,
        (Some(_), false) | (None, _) => 400,
    };
    broken.extend(refused.map(|(_, reason)| reason));
    if broken.is_empty() {
        return Ok(ValidRequest { operation: route.operation, ids, body });
    }
    Err(InvalidRequest { status, broken })
}

fn query(call: &Call, route: &Route, broken: &mut Vec<String>) {
    let query = call.query();
    if !matches!(route.operation, Operation::Cost | Operation::CostOfClin) {
        if query.is_some() {
            broken.push("the path has a query".to_owned());
        }
        return;
    }
    let mut pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    pairs.sort();
    let keys: Vec<&str> = pairs.iter().map(|(key, _)| key.as_str()).collect();
    if keys != ["end_date", "start_date"] {
        broken.push(format!("the query has {keys:?}, not `start_date` and `end_date`"));
    }
    for (key, value) in &pairs {
        if !is_date(value) {
            broken.push(format!("`{key}` is not a date"));
        }
    }
}

fn read_body(call: &Call, route: &Route, broken: &mut Vec<String>) -> Value {
    if !route.has_body() {
        if !call.body.is_empty() {
            broken.push("there is a body".to_owned());
        }
        return Value::Null;
    }
    let body = rules::json(call, broken);
    if let Some(body) = &body {
        body::validate(route.operation, body, broken);
    }
    body.unwrap_or_default()
}

/// Checks the deadline, which only an environment has, unless it is migrated.
fn deadline(call: &Call, route: &Route, body: &Value, broken: &mut Vec<String>) {
    let values: Vec<&str> = call.headers_named("x-provision-deadline").collect();
    if route.operation != Operation::AddEnvironment || body["is_migration"] == true {
        if !values.is_empty() {
            broken.push("there is an `x-provision-deadline`".to_owned());
        }
        return;
    }
    let [value] = values[..] else {
        broken.push("there is no `x-provision-deadline`, or several".to_owned());
        return;
    };
    let Some(deadline) = parse_deadline(value) else {
        let reason = format!("`x-provision-deadline` is `{value}`, not UTC with milliseconds");
        broken.push(reason);
        return;
    };
    let hours = if body["classification_level"] == "UNCLASSIFIED" { 2 } else { 72 };
    let ahead = deadline - OffsetDateTime::now_utc();
    if (ahead - Duration::hours(hours)).abs() > DEADLINE_TOLERANCE {
        let minutes = ahead.whole_minutes();
        broken
            .push(format!("`x-provision-deadline` is in {minutes} minutes, not in {hours} hours"));
    }
}

/// Parses exactly the format `2030-01-02T02:00:00.000Z`.
fn parse_deadline(text: &str) -> Option<OffsetDateTime> {
    let shaped = text.len() == 24 && text.ends_with('Z') && text.as_bytes()[19] == b'.';
    OffsetDateTime::parse(text, &Rfc3339).ok().filter(|_| shaped)
}

/// Returns the status and the reason if the token is refused.
fn token(call: &Call, route: &Route, tokens: &Tokens) -> Option<(u16, String)> {
    let headers: Vec<&str> = call.headers_named("authorization").collect();
    let token = match headers[..] {
        [header] => header.strip_prefix("Bearer "),
        _ => None,
    };
    let Some(token) = token else {
        return Some((401, "there is no bearer token, or several".to_owned()));
    };
    match tokens.check(token, route.scope) {
        Ok(()) => None,
        Err(bad @ (BadToken::Unknown | BadToken::Expired)) => Some((401, bad.to_string())),
        Err(bad @ BadToken::OtherScope { .. }) => Some((403, bad.to_string())),
    }
}
