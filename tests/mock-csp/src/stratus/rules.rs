//! The rules of the Stratus API for a request.

use std::collections::BTreeMap;

use serde_json::Value;

use super::KEY_HEADER;
use super::route;
use super::route::Operation;
use super::route::Route;
use crate::rules;
use crate::server::Call;
use crate::shape::Object;
use crate::shape::date;
use crate::shape::each;
use crate::shape::is_date;
use crate::shape::one_of;
use crate::shape::only;
use crate::shape::text;

/// The header that makes a thing once.
const ONCE: &str = "stratus-once";

/// The longest value of that header.
const ONCE_BYTES_MAX: usize = 1024;

const TIERS: &[&str] = &["open", "guarded"];

/// A request that breaks no rule.
#[derive(Debug)]
pub struct ValidRequest {
    pub operation: Operation,
    /// The decoded ids of the path, in their order.
    pub ids: Vec<String>,
    pub query: BTreeMap<String, String>,
    /// The body, or `null` if there is none.
    pub body: Value,
    /// The value of `Stratus-Once`, if the route makes something.
    pub once: Option<String>,
}

/// A request that breaks rules.
#[derive(Debug)]
pub struct InvalidRequest {
    /// The status of the answer: 401 if only the key is bad, else 200.
    pub status: u16,
    pub broken: Vec<String>,
}

/// Validates a request.
pub fn validate(call: &Call, key: &str) -> Result<ValidRequest, InvalidRequest> {
    let mut broken = Vec::new();
    rules::equal(call, KEY_HEADER, key, &mut broken);
    if !broken.is_empty() {
        return Err(InvalidRequest { status: 401, broken });
    }
    if call.header("authorization").is_some() {
        broken.push("there is an `authorization`, which the API does not know".to_owned());
    }
    let (route, ids) = match route::find(&call.method, call.path()) {
        Ok(found) => found,
        Err(reason) => {
            broken.push(reason);
            return Err(InvalidRequest { status: 200, broken });
        }
    };
    let query = query(call, route, &mut broken);
    let body = body(call, route, &mut broken);
    let once = once(call, route, &mut broken);
    if broken.is_empty() {
        return Ok(ValidRequest { operation: route.operation, ids, query, body, once });
    }
    Err(InvalidRequest { status: 200, broken })
}

fn query(call: &Call, route: &Route, broken: &mut Vec<String>) -> BTreeMap<String, String> {
    let query = call.query().unwrap_or_default();
    let pairs: Vec<(String, String)> =
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let known: &[&str] = match route.operation {
        Operation::ReadCharges => &["from", "to", "funding", "line", "page"],
        Operation::MakeTenant
        | Operation::ReadTenant
        | Operation::MakeAccount
        | Operation::ReadAccount
        | Operation::PutContacts
        | Operation::MakeFunding
        | Operation::Poll => &[],
    };
    for (name, _) in pairs.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        broken.push(format!("the query has `{name}`"));
    }
    let given = pairs.len();
    let query: BTreeMap<String, String> = pairs.into_iter().collect();
    if query.len() != given {
        broken.push("the query has something twice".to_owned());
    }
    if route.operation == Operation::ReadCharges {
        for name in ["from", "to"] {
            if !query.get(name).is_some_and(|value| is_date(value)) {
                broken.push(format!("`{name}` is not a date"));
            }
        }
    }
    query
}

fn once(call: &Call, route: &Route, broken: &mut Vec<String>) -> Option<String> {
    let values: Vec<&str> = call.headers_named(ONCE).collect();
    match (values[..].as_ref(), route.makes()) {
        ([], false) => None,
        ([value], true) if (1..=ONCE_BYTES_MAX).contains(&value.len()) => Some((*value).to_owned()),
        (_, makes) => {
            let wanted = if makes { "one" } else { "none" };
            broken.push(format!("`{ONCE}` is {values:?}, and there has to be {wanted}"));
            None
        }
    }
}

fn body(call: &Call, route: &Route, broken: &mut Vec<String>) -> Value {
    if !route.has_body() {
        if !call.body.is_empty() {
            broken.push("there is a body".to_owned());
        }
        return Value::Null;
    }
    let Some(body) = rules::json(call, broken) else { return Value::Null };
    let Some(object) = body.as_object() else {
        broken.push("the body is not a JSON object".to_owned());
        return Value::Null;
    };
    match route.operation {
        Operation::MakeTenant => {
            only(object, &["label", "fundings"], broken);
            text(object, "", "label", broken);
            each(object, "", "fundings", broken, funding);
        }
        Operation::MakeAccount => {
            only(object, &["alias", "tier", "zone", "title", "mailingList"], broken);
            text(object, "", "alias", broken);
            one_of(object, "", "tier", TIERS, broken);
        }
        Operation::PutContacts => {
            only(object, &["contacts"], broken);
            each(object, "", "contacts", broken, contact);
        }
        Operation::MakeFunding => funding(object, "", broken),
        Operation::ReadTenant
        | Operation::ReadAccount
        | Operation::Poll
        | Operation::ReadCharges => unreachable!("its method has no body"),
    }
    body
}

fn funding(funding: &Object, at: &str, broken: &mut Vec<String>) {
    only(funding, &["number", "from", "to", "lines"], broken);
    text(funding, at, "number", broken);
    date(funding, at, "from", broken);
    date(funding, at, "to", broken);
    each(funding, at, "lines", broken, line);
}

fn line(line: &Object, at: &str, broken: &mut Vec<String>) {
    only(line, &["line", "kind", "tier", "from", "to"], broken);
    text(line, at, "line", broken);
    one_of(line, at, "kind", &["cloud", "other"], broken);
    if line.contains_key("tier") {
        one_of(line, at, "tier", TIERS, broken);
    }
    date(line, at, "from", broken);
    date(line, at, "to", broken);
}

fn contact(contact: &Object, at: &str, broken: &mut Vec<String>) {
    only(contact, &["mail", "person", "mustReset"], broken);
    text(contact, at, "mail", broken);
    text(contact, at, "person", broken);
    if !contact.get("mustReset").is_some_and(Value::is_boolean) {
        broken.push(format!("`{at}mustReset` is not a boolean"));
    }
}
