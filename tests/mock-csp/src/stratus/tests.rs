//! The Stratus API as a plain client sees it.

use serde_json::Value;

use super::*;
use crate::client::TestRequest;

fn asked(method: &str, path: &str, body: &Value) -> TestRequest {
    let asked =
        TestRequest::bare(method, &format!("{BASE_PATH}{path}"), body).with(KEY_HEADER, KEY);
    if body.is_null() { asked } else { asked.with("content-type", "application/json") }
}

async fn start(options: Options) -> Stratus {
    Stratus::start(options).await.unwrap()
}

async fn ask(csp: &Stratus, asked: &TestRequest) -> Value {
    let answered = asked.send(csp.server().origin()).await;
    assert_eq!(answered.status, 200, "{answered:?}");
    answered.body
}

async fn get(csp: &Stratus, path: &str) -> Value {
    ask(csp, &asked("GET", path, &Value::Null)).await
}

fn account(alias: &str, once: &str) -> TestRequest {
    let body = serde_json::json!({"alias": alias, "tier": "open"});
    asked("POST", "/tenants/p-1/accounts", &body).with("stratus-once", once)
}

fn contacts() -> Value {
    serde_json::json!({"contacts": [{"mail": "a@mil", "person": "1", "mustReset": false}]})
}

#[tokio::test]
async fn an_account_is_made_polled_and_given_contacts() {
    let csp = start(Options::default()).await;
    let made = ask(&csp, &account("E", "job-1")).await["data"].clone();
    let (id, operation) =
        (made["accountId"].as_str().unwrap(), made["operationId"].as_str().unwrap());
    let poll = format!("/operations/{operation}");
    assert_eq!(get(&csp, &poll).await["data"]["state"], "RUNNING");
    let attach = asked("PUT", &format!("/accounts/{id}/contacts"), &contacts());
    assert_eq!(ask(&csp, &attach).await["fault"]["kind"], "absent");
    assert_eq!(csp.server().violations().len(), 1, "it was too early");
    assert_eq!(get(&csp, &poll).await["data"]["state"], "DONE");
    ask(&csp, &attach).await;
    let read = get(&csp, &format!("/accounts/{id}")).await;
    assert_eq!(read["data"]["contacts"], contacts()["contacts"]);
    assert_eq!(read["data"]["tenantId"], "p-1");
    assert_eq!(csp.server().violations().len(), 1);
}

#[tokio::test]
async fn a_repeated_request_creates_one_resource() {
    let csp = start(Options::default()).await;
    let first = ask(&csp, &account("E", "job-1")).await;
    assert_eq!(ask(&csp, &account("E", "job-1")).await, first);
    assert_ne!(ask(&csp, &account("E", "job-2")).await, first);
    assert_eq!(csp.accounts(), 2);
    assert_eq!(csp.server().violations(), Vec::<String>::new());
    assert_eq!(ask(&csp, &account("F", "job-1")).await["fault"]["kind"], "taken");
    assert_eq!(csp.server().violations().len(), 1);
}

#[tokio::test]
async fn a_busy_csp_does_not_process_the_call() {
    let csp = start(Options { busy: 2, ..Options::default() }).await;
    for _ in 0..2 {
        let answered = ask(&csp, &account("E", "job-1")).await;
        assert_eq!(answered["fault"]["kind"], "busy");
        assert_eq!(answered["fault"]["retryInMs"], 20);
    }
    assert_eq!(csp.accounts(), 0);
    assert!(ask(&csp, &account("E", "job-1")).await["data"].is_object());
}

#[tokio::test]
async fn charges_come_in_pages_and_by_line() {
    let csp = start(Options::default()).await;
    let path = "/tenants/p/charges?from=2022-01&to=2022-12";
    let (mut page, mut sizes) = (String::new(), Vec::new());
    loop {
        let answered = get(&csp, &format!("{path}{page}")).await;
        sizes.push(answered["data"]["charges"].as_array().unwrap().len());
        let Some(next) = answered["next"].as_str() else { break };
        page = format!("&page={}", next.replace('/', "%2F"));
    }
    assert_eq!(sizes, [5, 5, 2]);
    let answered = get(&csp, &format!("{path}&funding=F-1&line=0002")).await;
    assert_eq!(answered["data"]["charges"].as_array().unwrap().len(), 2);
    assert!(answered["next"].is_null());
    assert_eq!(csp.server().violations(), Vec::<String>::new());
    assert_eq!(get(&csp, &format!("{path}&page=2")).await["fault"]["kind"], "malformed");
}

#[tokio::test]
async fn an_operation_fails_by_the_alias_of_its_account() {
    let csp = start(Options { polls: 0, ..Options::default() }).await;
    let made = ask(&csp, &account(BROKEN_ALIAS, "job-1")).await;
    let operation = made["data"]["operationId"].as_str().unwrap();
    assert_eq!(get(&csp, &format!("/operations/{operation}")).await["data"]["state"], "BROKEN");
}

#[tokio::test]
async fn each_rule_is_checked() {
    let csp = start(Options::default()).await;
    let valid = account("E", "job-1");
    let wrong_key = valid.clone().with(KEY_HEADER, "other");
    assert_eq!(wrong_key.send(csp.server().origin()).await.status, 401);
    for (nth, invalid) in [
        valid.clone().without("stratus-once"),
        valid.clone().with("authorization", "Bearer x"),
        valid.clone().without("content-type"),
        TestRequest { body: r#"{"alias":"E","tier":"gold"}"#.to_owned(), ..valid.clone() },
        TestRequest { body: r#"{"alias":"E","tier":"open","x":1}"#.to_owned(), ..valid.clone() },
        asked("PUT", "/accounts/a/contacts", &serde_json::json!({"contacts": [{"mail": "x"}]})),
        asked("GET", "/operations/1", &Value::Null).with("stratus-once", "x"),
        asked("GET", "/operations/1?x=1", &Value::Null),
        asked("GET", "/tenants/p/charges?from=2022-01", &Value::Null),
        asked("DELETE", "/tenants/p", &Value::Null),
        asked("GET", "/nowhere", &Value::Null),
    ]
    .into_iter()
    .enumerate()
    {
        let before = csp.server().violations().len();
        assert_eq!(ask(&csp, &invalid).await["fault"]["kind"], "malformed", "{nth}");
        assert!(csp.server().violations().len() > before, "{nth}");
    }
    assert_eq!(csp.accounts(), 0);
}
