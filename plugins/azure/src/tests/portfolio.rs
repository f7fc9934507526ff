//! Portfolios.

use super::*;

const ADD: &str = r#"{"payload":{"name":"P1","taskOrders":[]}}"#;
const PUT: &str = "PUT /providers/Microsoft.Management/managementGroups/…?api-version=2023-04-01";
const GET: &str = "GET /providers/Microsoft.Management/managementGroups/…?api-version=2023-04-01";
const DONE: &str = r#"{"portfolio":{"id":"p1","name":"P1","resourceId":"/providers/Microsoft.Management/managementGroups/p1"},"$metadata":{"status":200,"request":{"portfolio":{"name":"P1","taskOrders":[]}}}}"#;

#[test]
fn a_portfolio_is_a_management_group_with_the_name_of_the_job() {
    let run = begin("add-portfolio", ADD);
    let body = r#"{"properties":{"displayName":"P1","details":{"parent":{"id":"/providers/Microsoft.Management/managementGroups/hoth"}}}}"#;
    check(&run, PUT, body);
    let sent = run.sent();
    assert_eq!(sent.header("cache-control"), Some("no-cache"));
    assert_eq!((sent.retry.as_str(), sent.endpoint), ("safe", None));
    assert!(sent.target.ends_with(&testing::job("", "{}").build().uuid("portfolio")));
    let no_parent = SETTINGS.replace(r#""parent":"hoth","#, "");
    let run = begin_with(testing::job("add-portfolio", ADD).settings(&no_parent));
    check(&run, PUT, r#"{"properties":{"displayName":"P1"}}"#);
}

#[test]
fn a_management_group_is_created_in_the_form_of_an_operation() {
    let mut run = begin("add-portfolio", ADD);
    let name = run.sent().target.rsplit('/').next().expect("a name").to_owned();
    let url = "https://management.usgovcloudapi.net/operationStatuses/1?api-version=v";
    run.answer(
        Answer::new(202, "{}")
            .header_added("azure-asyncoperation", url)
            .header_added("location", "https://management.usgovcloudapi.net/results/1"),
    );
    let waiting = run.waiting();
    assert_eq!((waiting.purpose.as_str(), waiting.after), ("poll", None));
    assert_eq!(waiting.reference.as_deref(), Some(url));
    let made = format!(r#"{{"made":[{{"kind":"management-group","id":"{name}"}}]}}"#);
    assert_eq!(waiting.details, made);
    run.timer();
    expect(&mut run, &format!("GET {url}"), "", 200, r#"{"status":"InProgress"}"#);
    run.timer();
    expect(&mut run, &format!("GET {url}"), "", 200, r#"{"status":"SUCCEEDED"}"#);
    assert_eq!(run.sent().header("cache-control"), None);
    expect(&mut run, GET, "", 200, GROUP);
    assert_eq!(run.done().response, DONE);
}

#[test]
fn a_management_group_is_created_in_the_other_forms() {
    // By `Location`, whose last answer is the resource.
    let mut run = begin("add-portfolio", ADD);
    run.answer(Answer::new(202, "").header_added("location", "https://a/results/1"));
    run.timer();
    expect(&mut run, "GET https://a/results/1", "", 202, "");
    run.timer();
    expect(&mut run, "GET https://a/results/1", "", 200, GROUP);
    assert_eq!(run.done().response, DONE);
    // By `Location` without a last body.
    let mut run = begin("add-portfolio", ADD);
    run.answer(Answer::new(202, "").header_added("location", "https://a/results/1"));
    run.timer();
    expect(&mut run, "GET https://a/results/1", "", 204, "");
    expect(&mut run, GET, "", 200, GROUP);
    assert_eq!(run.done().response, DONE);
    // By the state of the resource.
    let running =
        GROUP.replace("{\"displayName", "{\"provisioningState\":\"Running\",\"displayName");
    let mut run = begin("add-portfolio", ADD);
    expect(&mut run, PUT, "", 201, &running);
    run.timer();
    expect(&mut run, GET, "", 200, &running);
    run.timer();
    expect(&mut run, GET, "", 200, &running.replace("Running", "succeeded"));
    assert_eq!(run.done().response, DONE);
    // By the status alone.
    let mut run = begin("add-portfolio", ADD);
    expect(&mut run, PUT, "", 200, GROUP);
    assert_eq!(run.done().response, DONE);
}

#[test]
fn a_management_group_that_azure_did_not_create_is_a_failed_job() {
    let failed = r#"{"status":"Failed","error":{"code":"Quota","message":"no room"}}"#;
    let mut run = begin("add-portfolio", ADD);
    run.answer(Answer::new(202, "").header_added("azure-asyncoperation", "https://a/1"));
    run.timer();
    expect(&mut run, "GET https://a/1", "", 200, failed);
    let failure = run.failed();
    assert_eq!(failure.class, "job-failed");
    assert_eq!(failure.message, "Azure did not create the management group: Quota");
    let start = r#"{"details":"Quota: no room","error":{"code":"Quota","message":"no room"},"made":[{"kind":"management-group","id":""#;
    assert!(failure.response.starts_with(start), "{}", failure.response);

    let mut run = begin("add-portfolio", ADD);
    run.answer(Answer::new(202, "").header_added("location", "https://a/1"));
    run.timer();
    expect(&mut run, "GET https://a/1", "", 400, &error("Quota"));
    assert_eq!(run.failed().class, "job-failed");
}

#[test]
fn a_poll_that_fails_is_made_again() {
    for (status, code, class) in [
        (404, "NotFound", "not-found"),
        (429, "TooManyRequests", "unavailable"),
        (401, "ExpiredAuthenticationToken", "unavailable"),
        (500, "InternalServerError", "unavailable"),
        (403, "AuthorizationFailed", "refused"),
    ] {
        let mut run = begin("add-portfolio", ADD);
        run.answer(Answer::new(202, "").header_added("location", "https://a/1"));
        run.timer();
        expect(&mut run, "GET https://a/1", "", status, &error(code));
        assert_eq!(run.failed().class, class, "{code}");
    }
    let mut run = begin("add-portfolio", ADD);
    run.answer(Answer::new(202, "").header_added("location", "https://a/1"));
    run.timer();
    run.no_answer("timeout", None);
    assert_eq!(run.failed().class, "unavailable");
}

#[test]
fn a_portfolio_is_read_with_its_subscriptions() {
    let mut run = begin("get-portfolio", r#"{"portfolioId":"p1","payload":{}}"#);
    let line = "GET /providers/Microsoft.Management/managementGroups/p1?api-version=2023-04-01&$expand=children&$recurse=true";
    let children = r#"[
        {"type":"/subscriptions","name":"s1","displayName":"Dev"},
        {"type":"Microsoft.Management/managementGroups","name":"p2","children":[
            {"type":"/subscriptions","name":"s2","displayName":"Prod"}]}]"#;
    let group = GROUP.replace("null", children);
    expect(&mut run, line, "", 200, &group);
    let expected = r#""taskOrderNumbers":["T1"],"environments":[{"id":"s1","name":"Dev"},{"id":"s2","name":"Prod"}]}"#;
    let response = run.done().response;
    assert!(response.contains(expected), "{response}");
}

#[test]
fn the_parent_of_the_portfolios_is_no_portfolio() {
    for (operation, rest) in [
        ("get-portfolio", r#""payload":{}"#),
        ("add-operators", r#""payload":{"administrators":[{"email":"a@b.mil","dodId":"1"}]}"#),
        (
            "add-environment",
            r#""payload":{"name":"E","administrators":null,"classificationLevel":"UNCLASSIFIED"}"#,
        ),
        ("cost-by-portfolio", r#""startDate":"2029-11","endDate":"2029-12""#),
    ] {
        let failure = begin(operation, &format!(r#"{{"portfolioId":"HOTH",{rest}}}"#)).failed();
        let message = "the portfolioId is that of settings.parent, which is no portfolio";
        assert_eq!((failure.code, failure.message.as_str()), (400, message), "{operation}");
    }
}
