//! Valid requests pass; each broken rule is named.

use super::*;
use crate::atat::route::READ_COST;
use crate::atat::route::READ_PORTFOLIO;
use crate::atat::route::WRITE_PORTFOLIO;

fn add_environment(body: &Value) -> TestRequest {
    TestRequest::new("POST", "/portfolios/p-1/environments", body)
        .with("x-provision-deadline", &deadline(2))
}

fn costs(query: &str) -> TestRequest {
    TestRequest::new("GET", &format!("/portfolios/p-1/costs{query}"), &Value::Null)
}

/// Replaces the value that a JSON pointer names.
fn changed(mut value: Value, pointer: &str, new: Value) -> Value {
    *value.pointer_mut(pointer).expect("it is there") = new;
    value
}

/// Adds keys to `value`; `null` removes a key.
fn merged(mut value: Value, more: Value) -> Value {
    let object = value.as_object_mut().unwrap();
    for (key, new) in more.as_object().unwrap() {
        object.remove(key);
        if !new.is_null() {
            object.insert(key.clone(), new.clone());
        }
    }
    value
}

#[tokio::test]
async fn valid_requests_pass() {
    let secret = changed(environment(), "/classification_level", json!("TOP_SECRET"));
    let migrated = merged(environment(), json!({"is_migration": true}));
    let full = merged(
        environment(),
        json!({
            "is_migration": false, "account_name": "a", "email_distribution_list": "b@mail.mil",
            "cloud_distinguisher": {"name": "il4_dod", "display_name": "IL4", "description": "d"}
        }),
    );
    let portfolio_of_servicenow = merged(
        changed(portfolio(), "/task_orders/0/clins/0/classification_level", Value::Null),
        json!({"extra_key": ["a", {"far51_id": 1}], "clin0001": {"http_status": 7}}),
    );
    let patched = json!({"administrators": operators()});
    let none = Value::Null;
    let dates = "?start_date=2022-01-01&end_date=2022-12";
    #[rustfmt::skip]
    let rows = [
        ("1.3.1", WRITE_PORTFOLIO, TestRequest::new("POST", "/portfolios", &portfolio())),
        ("1.3.1", WRITE_PORTFOLIO, TestRequest::new("POST", "/portfolios", &portfolio_of_servicenow)),
        ("1.3.1", WRITE_PORTFOLIO, TestRequest::new("POST", "/portfolios", &portfolio()).with("content-type", "application/json; charset=utf-8")),
        ("1.3.1", READ_PORTFOLIO, TestRequest::new("GET", "/portfolios/this%3Aneeds%2Fto", &none)),
        ("1.3.1", WRITE_PORTFOLIO, add_environment(&environment())),
        ("1.3.1", WRITE_PORTFOLIO, add_environment(&full)),
        ("1.3.1", WRITE_PORTFOLIO, add_environment(&secret).with("x-provision-deadline", &deadline(72))),
        ("1.3.1", WRITE_PORTFOLIO, add_environment(&migrated).without("x-provision-deadline")),
        ("1.3.1", WRITE_PORTFOLIO, TestRequest::new("POST", "/portfolios/p-1/task-orders", &task_order())),
        ("1.3.1", WRITE_PORTFOLIO, TestRequest::new("PUT", "/portfolios/p-1/task-orders/%C3%BC%3F", &task_order())),
        ("1.0.2", WRITE_PORTFOLIO, TestRequest::new("PATCH", "/portfolios/p-1", &patched)),
        ("1.1.0", WRITE_PORTFOLIO, TestRequest::new("PATCH", "/portfolios/p-1/environments/e-1", &patched)),
        ("1.3.1", WRITE_PORTFOLIO, TestRequest::new("PATCH", "/portfolios/p-1/environments/e-1", &patched)),
        ("1.3.1", READ_COST, costs(dates)),
        ("1.3.2", READ_COST, costs(dates)),
        ("1.0.2", READ_COST, TestRequest::new("GET", &format!("/portfolios/p-1/cost{dates}"), &none)),
        ("1.3.1", READ_COST, TestRequest::new("GET", &format!("/portfolios/p-1/task-orders/T%2F1/clins/0001/costs{dates}"), &none)),
    ];
    for (version, scope, asked) in rows {
        let api_version = version.parse().unwrap();
        let csp = start(Options { api_version, ..Options::default() }).await;
        let asked = asked.with("x-atat-api-version", version);
        let answered = ask(&csp, scope, &asked).await;
        assert_eq!(csp.violations(), Vec::<String>::new());
        assert_eq!(answered.status, 200, "{asked:?}");
        assert!(answered.body.is_object(), "{answered:?}");
    }
}

/// Sends each request and expects exactly one violation, with the given text.
async fn check(rows: impl IntoIterator<Item = (&'static str, TestRequest, &str)>) {
    for (scope, asked, said) in rows {
        let csp = start(Options::default()).await;
        let answered = ask(&csp, scope, &asked).await;
        let violations = csp.violations();
        assert_eq!(violations.len(), 1, "{asked:?}: {violations:?}");
        let line = format!("{} {}: ", asked.method, asked.path);
        let rule = violations[0].strip_prefix(&line).expect("it names the call");
        assert!(rule.contains(said), "{rule}, not {said}");
        assert_eq!(answered.status, 400, "{asked:?}");
        assert_eq!(answered.body["errors"], json!([rule]));
    }
}

#[tokio::test]
async fn broken_rules_of_paths_are_named() {
    let get = |path: &str| TestRequest::new("GET", path, &Value::Null);
    let patch =
        |path: &str| TestRequest::new("PATCH", path, &json!({"administrators": operators()}));
    let elsewhere = TestRequest { path: "/portfolios/p-1".to_owned(), ..get("") };
    check([
        (READ_PORTFOLIO, get("/portfolioz/p-1"), "no such path"),
        (READ_PORTFOLIO, get("/portfolios/p-1/"), "no such path"),
        (READ_PORTFOLIO, elsewhere, "no such path"),
        (READ_COST, get("/portfolios/p-1/cost"), "version 1.3.1 of the API has no such path"),
        (READ_PORTFOLIO, TestRequest::new("DELETE", "/portfolios/p-1", &Value::Null), "takes GET"),
        (WRITE_PORTFOLIO, patch("/portfolios/p-1"), "takes GET in version 1.3.1"),
        (READ_PORTFOLIO, get("/portfolios/"), "is empty or not percent-encoded"),
        (READ_PORTFOLIO, get("/portfolios/a:b"), "`a:b` is empty or not percent-encoded"),
        (READ_PORTFOLIO, get("/portfolios/%4"), "`%4` cannot be decoded"),
        (READ_PORTFOLIO, get("/portfolios/%zz"), "`%zz` cannot be decoded"),
        (READ_PORTFOLIO, get("/portfolios/%FF"), "`%FF` cannot be decoded"),
        (READ_PORTFOLIO, get("/portfolios/p-1?x=1"), "the path has a query"),
        (READ_COST, costs(""), "not `start_date` and `end_date`"),
        (READ_COST, costs("?start_date=2022-01"), "not `start_date` and `end_date`"),
        (READ_COST, costs("?startDate=2022-01&endDate=2022-01"), "not `start_date`"),
        (READ_COST, costs("?start_date=2022-01&end_date=2022-1"), "`end_date` is not a date"),
        (READ_COST, costs("?start_date=&end_date=2022-01"), "`start_date` is not a date"),
    ])
    .await;
}

#[tokio::test]
async fn broken_rules_of_headers_are_named() {
    let get = TestRequest::new("GET", "/portfolios/p-1", &Value::Null);
    let twice = {
        let mut asked = get.clone();
        asked.headers.push(("user-agent".to_owned(), "ATAT CSP Api Client".to_owned()));
        asked
    };
    let post = TestRequest::new("POST", "/portfolios", &portfolio());
    let environment = add_environment(&environment());
    let with_deadline = |value: &str| environment.clone().with("x-provision-deadline", value);
    let migrated = add_environment(&merged(self::environment(), json!({"is_migration": true})));
    let secret = changed(self::environment(), "/classification_level", json!("SECRET"));
    check([
        (READ_PORTFOLIO, get.clone().with("user-agent", "curl"), "`user-agent` is [\"curl\"]"),
        (READ_PORTFOLIO, get.clone().without("user-agent"), "`user-agent` is []"),
        (READ_PORTFOLIO, twice, "`user-agent`"),
        (READ_PORTFOLIO, get.clone().with("x-atat-api-version", "1.3.0"), "not `1.3.1`"),
        (READ_PORTFOLIO, get.clone().without("x-atat-api-version"), "`x-atat-api-version` is []"),
        (READ_PORTFOLIO, TestRequest { body: "{}".to_owned(), ..get.clone() }, "there is a body"),
        (READ_PORTFOLIO, get.with("x-provision-deadline", &deadline(2)), "there is an `x-prov"),
        (WRITE_PORTFOLIO, post.clone().without("content-type"), "`content-type` is []"),
        (WRITE_PORTFOLIO, post.clone().with("content-type", "text/json"), "[\"text/json\"]"),
        (WRITE_PORTFOLIO, post.with("x-provision-deadline", &deadline(2)), "there is an `x-prov"),
        (WRITE_PORTFOLIO, migrated, "there is an `x-provision-deadline`"),
        (WRITE_PORTFOLIO, environment.clone().without("x-provision-deadline"), "there is no"),
        (WRITE_PORTFOLIO, with_deadline("soon"), "is `soon`, not UTC"),
        (WRITE_PORTFOLIO, with_deadline(&deadline(2).replace('Z', "+00:00")), "not UTC"),
        (WRITE_PORTFOLIO, with_deadline("2030-01-02T02:00:00Z"), "milliseconds"),
        (WRITE_PORTFOLIO, with_deadline(&deadline(72)), "not in 2 hours"),
        (WRITE_PORTFOLIO, add_environment(&secret), "not in 72 hours"),
    ])
    .await;
}

#[tokio::test]
async fn broken_rules_of_bodies_are_named() {
    let raw = |body: &str| TestRequest {
        body: body.to_owned(),
        ..TestRequest::new("POST", "/portfolios", &portfolio())
    };
    let add = |body: Value| TestRequest::new("POST", "/portfolios", &body);
    let order = |body: Value| TestRequest::new("PUT", "/portfolios/p-1/task-orders/t-1", &body);
    let patch = |body: Value| TestRequest::new("PATCH", "/portfolios/p-1/environments/e-1", &body);
    let environment = |more: Value| add_environment(&merged(environment(), more));
    let clin =
        |key: &str, new: Value| order(changed(task_order(), &format!("/clins/0/{key}"), new));
    let with_null = changed(
        merged(self::environment(), json!({"email_distribution_list": "x"})),
        "/email_distribution_list",
        Value::Null,
    );
    let camel = json!({"a_list": [{"deep": {"dodId": 1}}]});
    let rows = [
        (raw(""), "the body is not JSON"),
        (raw("{"), "the body is not JSON"),
        (raw("[]"), "not a JSON object"),
        (add(merged(portfolio(), json!({"extraKey": 1}))), "`extraKey` is not in snake_case"),
        (add(merged(portfolio(), camel)), "`a_list.deep.dodId` is not in snake_case"),
        (add(merged(portfolio(), json!({"name": null}))), "`name` is not a string"),
        (add(merged(portfolio(), json!({"task_orders": null}))), "`task_orders` is not a list"),
        (add(json!({"name": "a", "task_orders": [7]})), "`task_orders[0]` is not an object"),
        (order(merged(task_order(), json!({"task_order_number": 7}))), "`task_order_number`"),
        (order(merged(task_order(), json!({"pop_start_date": "July"}))), "`pop_start_date` is not"),
        (
            order(merged(task_order(), json!({"pop_end_date": null}))),
            "`pop_end_date` is not a date",
        ),
        (order(merged(task_order(), json!({"clins": {}}))), "`clins` is not a list"),
        (clin("clin_number", json!(1)), "`clins[0].clin_number` is not a string"),
        (clin("type", json!("FOG")), "`clins[0].type` is not one of CLOUD, NON_CLOUD"),
        (clin("classification_level", json!("?")), "`clins[0].classification_level`"),
        (clin("pop_start_date", json!("")), "`clins[0].pop_start_date`"),
        (clin("pop_end_date", json!("2021-07-01T00:00")), "`clins[0].pop_end_date`"),
        (patch(json!({})), "`administrators` is not a list"),
        (patch(json!({"administrators": [], "name": "x"})), "`name` does not belong"),
        (
            patch(json!({"administrators": changed(operators(), "/0/email", json!(1))})),
            "`administrators[0].email` is not a string",
        ),
        (
            patch(json!({"administrators": [{"email": "a", "needs_reset": true}]})),
            "`administrators[0].dod_id` is not a string",
        ),
        (
            patch(json!({"administrators": [{"email": "a", "dod_id": "1"}]})),
            "`administrators[0].needs_reset` is not a boolean",
        ),
        (environment(json!({"drop_me": 1})), "`drop_me` does not belong"),
        (add_environment(&with_null), "`email_distribution_list` is null"),
        (environment(json!({"account_name": 1})), "`account_name` is not a string"),
        (environment(json!({"is_migration": "no"})), "`is_migration` is not a boolean"),
        (
            environment(json!({"cloud_distinguisher": "x"})),
            "`cloud_distinguisher` is not an object",
        ),
        (
            environment(json!({"cloud_distinguisher": {"name": "a", "description": "b"}})),
            "`cloud_distinguisher.display_name` is not a string",
        ),
    ];
    check(rows.map(|(asked, said)| (WRITE_PORTFOLIO, asked, said))).await;
    let level = environment(json!({"classification_level": "SECRETISH"}))
        .with("x-provision-deadline", &deadline(72));
    check([(WRITE_PORTFOLIO, level, "`classification_level` is not one of")]).await;
}
