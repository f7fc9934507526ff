//! Requests for tokens, and the calls that a token permits.

use super::*;
use crate::atat::route::READ_COST;
use crate::atat::route::READ_PORTFOLIO;
use crate::atat::route::WRITE_PORTFOLIO;

#[tokio::test]
async fn a_token_response_describes_the_token() {
    let csp = start(Options::default()).await;
    let asked = token_request(&csp, READ_COST);
    let answered = asked.send(csp.identity().origin()).await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.body["token_type"], "Bearer");
    assert_eq!(answered.body["expires_in"], 3600);
    assert_eq!(csp.violations(), Vec::<String>::new());
    assert_ne!(bearer(&csp, READ_COST).await, bearer(&csp, READ_COST).await);
}

#[tokio::test]
async fn credentials_are_form_encoded() {
    let client_secret = "a b:c/ü%+".to_owned();
    let csp = start(Options { client_secret, ..Options::default() }).await;
    let encoded = STANDARD.encode(format!("{}:a+b%3Ac%2F%C3%BC%25%2B", csp.client_id()));
    let asked = token_request(&csp, READ_COST).with("authorization", &format!("Basic {encoded}"));
    assert_eq!(asked.send(csp.identity().origin()).await.status, 200);
}

#[tokio::test]
async fn broken_rules_of_token_requests_are_named() {
    let csp = start(Options::default()).await;
    let good = token_request(&csp, READ_COST);
    let form =
        |from: &str, to: &str| TestRequest { body: good.body.replace(from, to), ..good.clone() };
    let wrong = STANDARD.encode(format!("{}:wrong", csp.client_id()));
    let wrong = good.clone().with("authorization", &format!("Basic {wrong}"));
    let rows = [
        (TestRequest { method: "PUT".to_owned(), ..good.clone() }, 400, "request tokens with POST"),
        (
            TestRequest { path: "/token".to_owned(), ..good.clone() },
            400,
            "request tokens with POST",
        ),
        (good.clone().with("content-type", "application/json"), 400, "which is no form"),
        (form("grant_type=client_credentials&", ""), 400, "no `grant_type`"),
        (form("client_credentials", "password"), 400, "not `client_credentials`"),
        (form("client_id=", "client_id=x"), 400, "`client_id` is not that of the client"),
        (form("client_id=", "clientid="), 400, "`client_id`"),
        (form("&scope", "&scope=x&scope"), 400, "`scope` more than once"),
        (form("&scope", "&client_secret=x&scope"), 400, "the form has `client_secret`"),
        (form("atat%2Fread-cost", "atat%2Feverything"), 400, "no scope `atat/everything`"),
        (form("atat%2Fread-cost", ""), 400, "no scope ``"),
        (good.clone().without("authorization"), 401, "does not authenticate itself"),
        (good.clone().with("authorization", "Bearer x"), 401, "not HTTP Basic"),
        (wrong, 401, "id or secret is wrong"),
    ];
    for (asked, status, said) in rows {
        let before = csp.violations().len();
        let answered = asked.send(csp.identity().origin()).await;
        assert_eq!(answered.status, status, "{asked:?}");
        assert!(answered.body["error"].is_string(), "{answered:?}");
        assert!(answered.body["access_token"].is_null(), "{answered:?}");
        let violations = csp.violations().split_off(before);
        assert!(violations.iter().any(|rule| rule.contains(said)), "{violations:?}, not {said}");
    }
}

#[tokio::test]
async fn tokens_are_limited_to_their_scope_and_lifetime() {
    let csp = start(Options::default()).await;
    let elsewhere = start(Options::default()).await;
    let brief = start(Options { token_lifetime: Duration::ZERO, ..Options::default() }).await;
    let get = TestRequest::new("GET", "/portfolios/p-1", &Value::Null);
    let rows = [
        (&csp, bearer(&csp, WRITE_PORTFOLIO).await, 403, "not for atat/read-portfolio"),
        (&csp, bearer(&elsewhere, READ_PORTFOLIO).await, 401, "not issued here"),
        (&csp, "Basic eDp5".to_owned(), 401, "no bearer token"),
        (&brief, bearer(&brief, READ_PORTFOLIO).await, 401, "has expired"),
    ];
    for (csp, header, status, said) in rows {
        let before = csp.violations().len();
        let answered = get.clone().with("authorization", &header).send(csp.origin()).await;
        assert_eq!(answered.status, status, "{said}");
        let violations = csp.violations().split_off(before);
        assert!(matches!(&violations[..], [one] if one.contains(said)), "{violations:?}");
    }
}

#[tokio::test]
async fn the_token_endpoint_has_a_script_of_its_own() {
    let csp = start(Options::default()).await;
    csp.script_tokens([Answer::json(503, &json!({}))]);
    let answered = token_request(&csp, READ_COST).send(csp.identity().origin()).await;
    assert_eq!(answered.status, 503);
    assert_eq!((csp.call_count(), csp.token_call_count()), (0, 1));
}
