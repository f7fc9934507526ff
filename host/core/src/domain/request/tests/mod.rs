//! Tables of accepted and refused requests.

mod content_digest;
mod costs;

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::json;

use super::Known;
use super::Refusal;
use super::cost;
use super::field::FieldKind;
use super::field::Shape;
use super::provisioning;
use super::sample::provisioning as request;
use super::sample::task_order;
use super::shape;
use crate::domain::CspName;
use crate::domain::Job;
use crate::domain::Operation;
use crate::domain::SupportedOperations;

fn csps() -> BTreeMap<CspName, SupportedOperations> {
    BTreeMap::from([("CSP_A".parse().expect("a valid name"), SupportedOperations::default())])
}

fn parse(body: &Value) -> Result<Job, Refusal> {
    parse_text(&body.to_string())
}

fn parse_text(body: &str) -> Result<Job, Refusal> {
    provisioning(body.as_bytes(), Known::of(&csps()), || "made".parse().expect("a valid id"))
}

fn parse_cost(body: &Value) -> Result<Job, Refusal> {
    cost(body.to_string().as_bytes(), Known::of(&csps()))
}

fn environment() -> Value {
    json!({"name": "e", "administrators": [{"email": "a@b.mil", "dodId": "1"}], "classificationLevel": "SECRET"})
}

/// Returns `base` with the value at a JSON pointer replaced; `None` removes it.
fn changed(mut base: Value, pointer: &str, value: Option<Value>) -> Value {
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer has a slash");
    let parent = base.pointer_mut(parent).expect("the parent is there");
    match (parent, value) {
        (Value::Object(map), Some(value)) => drop(map.insert(key.to_owned(), value)),
        (Value::Object(map), None) => drop(map.remove(key)),
        (Value::Array(list), value) => {
            list[key.parse::<usize>().expect("an index")] = value.expect("a value");
        }
        (other, _) => panic!("{other} has no fields"),
    }
    base
}

#[track_caller]
fn check_wrong(body: &Value, expected: &[(&str, &str)]) {
    let Err(Refusal::Invalid(errors)) = parse(body) else { panic!("accepted: {body}") };
    let found: Vec<(&str, &str)> = errors.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(found, expected, "{body}");
}

#[test]
fn every_operation_is_accepted_as_servicenow_sends_it() {
    let snake = json!({
        "clin_number": "1", "type": "NON_CLOUD", "classification_level": "TOP_SECRET",
        "pop_start_date": "2021-07", "pop_end_date": "2022-07"
    });
    let mixed = changed(task_order(), "/clins/0", Some(snake));
    for (operation, payload, expected) in [
        (
            "ADD_PORTFOLIO",
            json!({"name": "n", "taskOrders": [], "administrators": null}),
            Operation::AddPortfolio,
        ),
        (
            "ADD_PORTFOLIO",
            json!({"name": "n", "taskOrders": [mixed], "more": [1, null]}),
            Operation::AddPortfolio,
        ),
        ("GET_PORTFOLIO", json!({}), Operation::GetPortfolio),
        ("ADD_ENVIRONMENT", environment(), Operation::AddEnvironment),
        (
            "ADD_ENVIRONMENT",
            changed(environment(), "/administrators", Some(Value::Null)),
            Operation::AddEnvironment,
        ),
        (
            "ADD_ENVIRONMENT",
            changed(environment(), "/cloudDistinguisher", Some(Value::Null)),
            Operation::AddEnvironment,
        ),
        ("ADD_TASK_ORDER", json!({"taskOrder": task_order()}), Operation::AddTaskOrder),
        (
            "UPDATE_TASK_ORDER",
            json!({"taskOrderId": "t", "taskOrder": task_order()}),
            Operation::UpdateTaskOrder,
        ),
        ("ADD_OPERATORS", json!({"administrators": []}), Operation::AddOperators),
        (
            "ADD_OPERATORS",
            json!({"operators": [], "administrators": null}),
            Operation::AddOperators,
        ),
        (
            "ADD_OPERATORS",
            json!({"operators": null, "administrators": []}),
            Operation::AddOperators,
        ),
        (
            "ADD_ADMINISTRATOR",
            json!({"administrators": [], "environmentId": "e"}),
            Operation::AddOperators,
        ),
    ] {
        let body = request(operation, payload);
        let job = parse(&body).unwrap_or_else(|refusal| panic!("{body}: {refusal:?}"));
        assert_eq!(job.operation, expected);
        assert_eq!(job.request.get(), body.to_string());
        assert_eq!(job.portfolio_id, Some("p".parse().expect("a valid id")));
    }
}

#[test]
fn optional_fields_may_be_missing() {
    let portfolio = request("ADD_PORTFOLIO", json!({"name": "n", "taskOrders": []}));
    for absent in [None, Some(Value::Null), Some(json!(""))] {
        let body = changed(portfolio.clone(), "/portfolioId", absent);
        assert_eq!(parse(&body).expect("accepted").portfolio_id, None);
    }
    let get = changed(request("GET_PORTFOLIO", json!({})), "/userId", None);
    assert!(parse(&get).is_ok());
}

#[test]
fn wrong_top_level_fields_are_named() {
    let good = request("GET_PORTFOLIO", json!({}));
    let words = "must be one of ADD_PORTFOLIO, GET_PORTFOLIO, ADD_ENVIRONMENT, ADD_TASK_ORDER, UPDATE_TASK_ORDER, ADD_OPERATORS, ADD_ADMINISTRATOR";
    for (pointer, value, path, problem) in [
        ("/extra", Some(json!(1)), "extra", "is not a known property"),
        ("/jobId", Some(json!(42)), "jobId", "must be a string"),
        ("/jobId", Some(json!("")), "jobId", "must be 1 to 256 bytes without control characters"),
        ("/portfolioId", None, "portfolioId", "is required"),
        ("/portfolioId", Some(json!("")), "portfolioId", "must not be empty"),
        ("/portfolioId", Some(json!(7)), "portfolioId", "must be a string"),
        ("/userId", Some(json!(7)), "userId", "must be a string"),
        (
            "/targetCspName",
            Some(json!("NOPE")),
            "targetCspName",
            "is not a known CSP; known are CSP_A",
        ),
        ("/targetCspName", None, "targetCspName", "is required"),
        ("/operationType", Some(json!("ADD")), "operationType", words),
        ("/payload", Some(json!([])), "payload", "must be an object"),
        ("/payload", None, "payload", "is required"),
    ] {
        let body = changed(good.clone(), pointer, value);
        let mut expected = vec![(path, problem)];
        if path == "operationType" {
            expected.truncate(1);
        }
        check_wrong(&body, &expected);
    }
    check_wrong(
        &changed(request("ADD_ENVIRONMENT", environment()), "/userId", None),
        &[("userId", "is required")],
    );
}

#[test]
fn wrong_task_orders_are_named_field_by_field() {
    let date = "must be a date such as 2026-07-01 or 2026-07";
    let levels = "must be one of UNCLASSIFIED, SECRET, TOP_SECRET";
    let add = request("ADD_TASK_ORDER", json!({"taskOrder": task_order()}));
    for (pointer, value, path, problem) in [
        ("/payload/taskOrder", None, "payload.taskOrder", "is required"),
        (
            "/payload/taskOrder/popStartDate",
            Some(json!("2021-02-30")),
            "payload.taskOrder.popStartDate",
            date,
        ),
        (
            "/payload/taskOrder/popStartDate",
            Some(json!("2021-13")),
            "payload.taskOrder.popStartDate",
            date,
        ),
        (
            "/payload/taskOrder/popEndDate",
            Some(json!(2021)),
            "payload.taskOrder.popEndDate",
            "must be a string",
        ),
        ("/payload/taskOrder/clins", Some(json!({})), "payload.taskOrder.clins", "must be a list"),
        (
            "/payload/taskOrder/clins/0",
            Some(json!(3)),
            "payload.taskOrder.clins[0]",
            "must be an object",
        ),
        (
            "/payload/taskOrder/clins/0/type",
            Some(json!("cloud")),
            "payload.taskOrder.clins[0].type",
            "must be one of CLOUD, NON_CLOUD",
        ),
        (
            "/payload/taskOrder/clins/0/clin_number",
            Some(json!("2")),
            "payload.taskOrder.clins[0].clinNumber",
            "is given twice, also as clin_number",
        ),
        (
            "/payload/taskOrder/clins/0/classification_level",
            Some(json!("X")),
            "payload.taskOrder.clins[0].classification_level",
            levels,
        ),
    ] {
        check_wrong(&changed(add.clone(), pointer, value), &[(path, problem)]);
    }
}

#[test]
fn wrong_environments_and_operators_are_named_field_by_field() {
    let env = request("ADD_ENVIRONMENT", environment());
    for (pointer, value, path, problem) in [
        ("/payload/name", Some(json!("")), "payload.name", "must not be empty"),
        ("/payload/administrators", None, "payload.administrators", "is required"),
        ("/payload/administrators/0/dodId", None, "payload.administrators[0].dodId", "is required"),
        (
            "/payload/administrators/0/needsReset",
            Some(json!("no")),
            "payload.administrators[0].needsReset",
            "must be true or false",
        ),
        ("/payload/classificationLevel", None, "payload.classificationLevel", "is required"),
        (
            "/payload/cloudDistinguisher",
            Some(json!("il4")),
            "payload.cloudDistinguisher",
            "must be an object",
        ),
        ("/payload/isMigration", Some(json!(1)), "payload.isMigration", "must be true or false"),
    ] {
        check_wrong(&changed(env.clone(), pointer, value), &[(path, problem)]);
    }
    let operators = request("ADD_OPERATORS", json!({"administrators": null}));
    check_wrong(&operators, &[("payload.administrators", "is required")]);
    // One of the two would be lost.
    let both = request("ADD_OPERATORS", json!({"operators": [], "administrators": []}));
    check_wrong(&both, &[("payload.operators", "cannot be combined with administrators")]);
}

#[test]
fn malformed_bodies_are_told_apart() {
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let not_json = |problem: &str| Refusal::NotJson(problem.to_owned());
    for (text, refusal) in [
        ("", not_json("is empty")),
        (" \r\n", not_json("is empty")),
        ("null", not_json("is null")),
        ("{not json", not_json("is not valid JSON: key must be a string at line 1 column 2")),
        ("{} {}", not_json("is not valid JSON: trailing characters at line 1 column 4")),
        (
            "{\n \"payload\": {\"list\": [1, {\"name\": oops}]}}",
            not_json(
                "is not valid JSON: expected value at line 2 column 35, in the field \
                 payload.list[1].name",
            ),
        ),
        (
            r#"{"payload":{"name":"\ud83d oops"}}"#,
            not_json(
                "is not valid JSON: lone leading surrogate in hex escape at line 1 column 27, in \
                 the field payload.name",
            ),
        ),
        (
            r#"{"payload":{"name":"\udead"}}"#,
            not_json(
                "is not valid JSON: lone leading surrogate in hex escape at line 1 column 26, in \
                 the field payload.name",
            ),
        ),
        (&deep(65), Refusal::TooDeep),
        (&format!("{{\"payload\":{}}}", deep(64)), Refusal::TooDeep),
    ] {
        assert_eq!(parse_text(text).expect_err(text), refusal, "{text}");
    }
    let not_utf8 = provisioning(b"\"\xff\"", Known::of(&csps()), || unreachable!());
    let problem = "is not valid JSON: invalid unicode code point at line 1 column 2";
    assert_eq!(not_utf8.expect_err("not UTF-8"), not_json(problem));
    for text in ["[]", "1", "\"x\"", &deep(64)] {
        assert!(matches!(parse_text(text), Err(Refusal::Invalid(_))), "{text}");
    }
    let Err(Refusal::Invalid(errors)) =
        parse_text(r#"{"payload":{"a":1,"b":[{"a":1,"a":2}]},"payload":1}"#)
    else {
        panic!("accepted");
    };
    assert_eq!(errors.keys().collect::<Vec<_>>(), ["payload", "payload.b[0].a"]);
}

#[test]
fn a_missing_job_id_is_generated_and_all_else_stays_as_it_was() {
    let rest = r#""userId": "\u00fc",  "payload":{ "x" : 1.50e1, "n":null }, "portfolioId":"p","targetCspName":"CSP_A","operationType":"GET_PORTFOLIO" }"#;
    for (posted, expected) in [
        (format!("\r\n{{ {rest}\n"), format!(r#"{{"jobId":"made", {rest}"#)),
        (format!(r#"{{"jobId":null ,{rest}"#), format!(r#"{{"jobId":"made" ,{rest}"#)),
        (format!(r#"{{"jobI\u0064" : null,{rest}"#), format!(r#"{{"jobI\u0064" : "made",{rest}"#)),
    ] {
        let job = parse_text(&posted).expect("accepted");
        assert_eq!((job.id.as_str(), job.request.get()), ("made", expected.as_str()));
    }
}

#[test]
fn numbers_and_texts_are_echoed_as_they_were_posted() {
    let values = r#"{"a":1.0,"b":1e5,"c":123456789012345678901234567890,"g":-1e999,"d":-0,"e":"\/\ud83d\ude00","f":[ ],"":{"$serde_json::private::RawValue":1}}"#;
    let body = format!(
        r#"{{"payload":{values},"jobId":"j","portfolioId":"p","targetCspName":"CSP_A","operationType":"GET_PORTFOLIO"}}"#
    );
    assert_eq!(parse_text(&body).expect("accepted").request.get(), body);
}

#[test]
fn snake_case_keys_are_accepted_only_below_the_fields_of_a_payload() {
    let cost = json!({
        "requestId": "r", "portfolioId": "p", "targetCspName": "CSP_A",
        "startDate": "2022-01-01", "endDate": "2022-12", "portfolio_id": "kept"
    });
    assert_eq!(
        parse_cost(&cost).expect("accepted").portfolio_id,
        Some("p".parse().expect("a valid id"))
    );
    let Err(Refusal::Invalid(errors)) = parse_cost(&changed(cost, "/portfolioId", None)) else {
        panic!("accepted");
    };
    assert_eq!(errors.keys().collect::<Vec<_>>(), ["portfolioId"]);
    let snake = request("ADD_TASK_ORDER", json!({"task_order": task_order()}));
    check_wrong(&snake, &[("payload.taskOrder", "is required")]);
    let operator =
        json!({"administrators": [{"email": "a@b.mil", "dod_id": "1", "needs_reset": 1}]});
    let path = "payload.administrators[0].needs_reset";
    check_wrong(&request("ADD_OPERATORS", operator), &[(path, "must be true or false")]);
}

#[test]
fn adapters_read_operators_under_the_name_of_administrators() {
    for (payload, expected) in [
        (r#"{"operators":[]}"#, r#"{"administrators":[]}"#),
        (r#"{"operators":[],"administrators":null,"n":1.0}"#, r#"{"n":1.0,"administrators":[]}"#),
        (r#"{"operators":[1],"administrators":[]}"#, r#"{"operators":[1],"administrators":[]}"#),
    ] {
        let request = format!(r#"{{"payload":{payload},"portfolioId":"p","userId":null}}"#);
        let raw = serde_json::value::RawValue::from_string(request).expect("valid JSON");
        let input = crate::domain::json::provisioning_input("j", &raw);
        assert_eq!(input, format!(r#"{{"jobId":"j","portfolioId":"p","payload":{expected}}}"#));
    }
}

#[test]
fn errors_stay_short_for_any_length_of_keys() {
    let key = "é".repeat(3_000);
    let pairs: Vec<String> = (0..5_000).map(|n| format!("\"{n}\":1,\"{n}\":1")).collect();
    let unknown: Vec<String> = (0..200).map(|n| format!("\"{n}{key}\":1")).collect();
    for (body, errors) in [
        (format!("{{\"{key}\":{{{}}}}}", pairs.join(",")), 1),
        (format!("{{{}}}", unknown.join(",")), 100),
    ] {
        let Err(Refusal::Invalid(found)) = parse_text(&body) else { panic!("accepted") };
        assert_eq!(found.len(), errors);
        assert!(found.keys().all(|path| (250..=256).contains(&path.len())));
    }
}

#[test]
fn every_operation_type_selects_the_shape_that_lists_it() {
    let words_of = |shape: &Shape| -> Vec<&'static str> {
        let field = shape.fields.iter().find(|field| field.name == "operationType");
        let kind = field.expect("a provisioning request has one").kind;
        let FieldKind::OneOf(words) = kind else { panic!("{kind:?}") };
        words.all.to_vec()
    };
    let shapes = shape::PROVISIONING_REQUEST.shapes;
    for shape in shapes {
        for word in words_of(shape) {
            let operation = Operation::from_operation_type(word).expect(word);
            assert_eq!(shape::of_operation(operation).name, shape.name, "{word}");
        }
    }
    let listed: Vec<&str> = shapes.iter().flat_map(|shape| words_of(shape)).collect();
    assert_eq!(listed, Operation::OPERATION_TYPES);
}
