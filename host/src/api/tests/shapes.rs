//! Schemas and the code that reads requests, held against each other.

use super::description::Description;
use super::*;
use hoth_core::domain::SupportedOperations;
use hoth_core::domain::request;
use hoth_core::domain::request::Known;
use hoth_core::domain::request::sample;

fn task_order() -> Value {
    let mut task_order = sample::task_order();
    task_order["clins"][0]["classificationLevel"] = json!("SECRET");
    task_order
}

/// One request of each kind, and its fields that are not read.
fn requests() -> [(Value, &'static [&'static str]); 7] {
    let snake = json!({
        "clin_number": "1", "type": "NON_CLOUD", "pop_start_date": "2021-07", "pop_end_date": "2022-07"
    });
    let mut in_snake_case = task_order();
    in_snake_case["clins"] = json!([snake]);
    let operator = json!({"email": "a@b.mil", "dodId": "1", "needsReset": true});
    let environment = json!({
        "name": "e", "administrators": [operator], "classificationLevel": "TOP_SECRET",
        "cloudDistinguisher": {"name": "n", "displayName": "d", "description": ""},
        "accountName": "a", "emailDistributionList": "", "isMigration": false, "more": {"is": "kept"}
    });
    let of = sample::provisioning;
    [
        (
            of("ADD_PORTFOLIO", json!({"name": "n", "taskOrders": [task_order()]})),
            &[
                "/payload/another",
                "/payload/taskOrders/0/another",
                "/payload/taskOrders/0/clins/0/another",
            ],
        ),
        (of("GET_PORTFOLIO", json!({})), &["/payload/another"]),
        (
            of("ADD_ENVIRONMENT", environment),
            &[
                "/payload/another",
                "/payload/administrators/0/another",
                "/payload/cloudDistinguisher/another",
                "/payload/more",
                "/payload/more/another",
                "/payload/more/is",
            ],
        ),
        (
            of("ADD_TASK_ORDER", json!({"taskOrder": in_snake_case})),
            &[
                "/payload/another",
                "/payload/taskOrder/another",
                "/payload/taskOrder/clins/0/another",
            ],
        ),
        (
            of("UPDATE_TASK_ORDER", json!({"taskOrderId": "t", "taskOrder": task_order()})),
            &[
                "/payload/another",
                "/payload/taskOrder/another",
                "/payload/taskOrder/clins/0/another",
            ],
        ),
        (
            of("ADD_OPERATORS", json!({"administrators": [operator], "environmentId": "e"})),
            &["/payload/another", "/payload/administrators/0/another"],
        ),
        (
            of("ADD_ADMINISTRATOR", json!({"operators": [operator], "administrators": null})),
            &["/payload/another", "/payload/operators/0/another"],
        ),
    ]
}

/// What every field is put to: the kinds of JSON, and texts at their bounds.
fn values() -> Vec<Option<Value>> {
    let texts = ["", "x", "2026-07", "2026-13", "2026-07-01", "SECRET", "CLOUD", "a\u{7}", "é"];
    let long = ["x".repeat(256), "x".repeat(257)].map(Value::from);
    let others =
        [json!(null), json!(true), json!(1), json!([]), json!({}), json!([{}]), json!([1])];
    let texts = texts.into_iter().map(Value::from);
    [None].into_iter().chain(texts.chain(long).chain(others).map(Some)).collect()
}

/// The pointers of all that is in a value, and of one key that is not.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            found.push(format!("{at}/another"));
            for (key, value) in map {
                found.push(format!("{at}/{key}"));
                pointers(value, &format!("{at}/{key}"), found);
            }
        }
        Value::Array(list) => {
            for (n, value) in list.iter().enumerate() {
                pointers(value, &format!("{at}/{n}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Every single change of `base` is refused by both or by neither; and each
/// field has a change that is refused, but for those that are `free`.
fn agree(
    base: &Value,
    validator: &jsonschema::Validator,
    free: &[&str],
    reads: impl Fn(&[u8]) -> bool,
) {
    assert!(validator.is_valid(base) && reads(base.to_string().as_bytes()), "{base}");
    let mut found = Vec::new();
    pointers(base, "", &mut found);
    let mut unbound = Vec::new();
    for pointer in &found {
        let mut refused = 0;
        for value in values() {
            let mut body = base.clone();
            let (parent, key) = pointer.rsplit_once('/').expect("a pointer has a slash");
            let map = body.pointer_mut(parent).and_then(Value::as_object_mut);
            let map = map.expect("pointers name keys of objects");
            match &value {
                Some(value) => drop(map.insert(key.to_owned(), value.clone())),
                None => drop(map.remove(key)),
            }
            let read = reads(body.to_string().as_bytes());
            assert_eq!(validator.is_valid(&body), read, "{pointer} = {value:?}: read {read}");
            refused += u32::from(!read);
        }
        if refused == 0 {
            unbound.push(pointer.as_str());
        }
    }
    assert_eq!(unbound, free, "{base}");
}

#[tokio::test]
async fn provisioning_requests_are_read_as_they_are_described() {
    let description = Description::of(&Host::start().await).await;
    let validator =
        description.validator(&json!({"$ref": "#/components/schemas/ProvisioningRequest"}));
    let csps = ["CSP_A", "x", "SECRET", "CLOUD", "2026-07", "2026-13", "2026-07-01"];
    let csps = csps
        .map(|name| (name.parse().expect("a valid name"), SupportedOperations::default()))
        .into();
    let reads = |body: &[u8]| {
        request::provisioning(body, Known { csps: &csps }, || "made".to_owned()).is_ok()
    };
    for (base, free) in requests() {
        agree(&base, &validator, free, reads);
    }
}

#[tokio::test]
async fn other_requests_are_read_as_they_are_described() {
    let description = Description::of(&Host::start().await).await;
    let schema = |name: &str| {
        description.validator(&json!({"$ref": format!("#/components/schemas/{name}")}))
    };
    let csps = ["CSP_A", "x", "SECRET", "CLOUD", "2026-07", "2026-13", "2026-07-01"];
    let csps = csps
        .map(|name| (name.parse().expect("a valid name"), SupportedOperations::default()))
        .into();
    let cost = json!({
        "requestId": "r", "portfolioId": "p", "targetCspName": "CSP_A", "startDate": "2021-07",
        "endDate": "2026-07-01", "taskOrderNumber": "t", "clin": "1"
    });
    let reads = |body: &[u8]| request::cost(body, Known { csps: &csps }).is_ok();
    agree(&cost, &schema("CostRequest"), &["/another"], reads);
    let batch = json!({"batch": "b"});
    agree(&batch, &schema("Batch"), &[], |body| request::batch(body).is_ok());
    let ids = json!({"jobIds": ["a"]});
    agree(&ids, &schema("JobRedelivery"), &[], |body| request::redelivery(JOBS, body).is_ok());
    let ids = json!({"requestIds": ["a"]});
    agree(&ids, &schema("CostRedelivery"), &[], |body| request::redelivery(COSTS, body).is_ok());
}
