//! Tests of the API's table, row by row, with values only.

use std::time::Duration;

use hoth_adapter::Answer;
use hoth_adapter::operation;
use hoth_adapter::testing::Run;
use hoth_adapter::testing::begin;
use hoth_adapter::testing::job;
use hoth_adapter::testing::resume;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::Atat;

const TASK_ORDER: &str = r#"{"taskOrderNumber":"1","popStartDate":"2021-07","clins":[{"clin_number":"0001","type":"CLOUD"}]}"#;
const OPERATORS: &str =
    r#"[{"email":"a@b.mil","dodId":"1"},{"email":"c@d.mil","dodId":"2","needsReset":true}]"#;
const LOCATION: &str = "https://csp.test/jobs/1";

fn input(operation: &str) -> String {
    let payload = match operation {
        "add-portfolio" => format!(r#"{{"name":"P","taskOrders":[{TASK_ORDER}],"cost":1.10}}"#),
        "get-portfolio" => "{}".to_owned(),
        "add-environment" => format!(
            r#"{{"name":"E","administrators":{OPERATORS},"classificationLevel":"SECRET","accountName":null,"dropMe":1}}"#
        ),
        "add-task-order" => format!(r#"{{"taskOrder":{TASK_ORDER}}}"#),
        "update-task-order" => format!(r#"{{"taskOrderId":"t/1","taskOrder":{TASK_ORDER}}}"#),
        "add-operators" => format!(r#"{{"administrators":{OPERATORS},"environmentId":"e 1"}}"#),
        other => panic!("no payload for {other}"),
    };
    format!(r#"{{"jobId":"job-1","portfolioId":"p:1","payload":{payload}}}"#)
}

fn start(operation: &str, version: &str) -> Run<Atat> {
    let settings = format!(r#"{{"api_version":"{version}"}}"#);
    begin(job(operation, &input(operation)).settings(&settings))
}

fn accepted(operation: &str) -> Run<Atat> {
    let mut run = start(operation, "1.3.1");
    run.answer(Answer::new(202, "{}").header_added("location", LOCATION));
    run
}

#[test]
fn every_operation_makes_its_call() {
    const TASK_ORDER: &str = r#"{"task_order_number":"1","pop_start_date":"2021-07","clins":[{"clin_number":"0001","type":"CLOUD"}]}"#;
    const OPERATORS: &str = r#""administrators":[{"email":"a@b.mil","dod_id":"1","needs_reset":false},{"email":"c@d.mil","dod_id":"2","needs_reset":true}]"#;
    let portfolio = format!(r#"{{"name":"P","task_orders":[{TASK_ORDER}],"cost":1.10}}"#);
    let environment = format!(r#"{{"name":"E",{OPERATORS},"classification_level":"SECRET"}}"#);
    let operators = format!("{{{OPERATORS}}}");
    for (what, line, body, scope) in [
        ("add-portfolio 1.3.1", "POST /portfolios", Some(&*portfolio), "atat/write-portfolio"),
        ("get-portfolio 1.3.1", "GET /portfolios/p%3A1", None, "atat/read-portfolio"),
        (
            "add-environment 1.3.1",
            "POST /portfolios/p%3A1/environments",
            Some(&*environment),
            "atat/write-portfolio",
        ),
        (
            "add-task-order 1.3.1",
            "POST /portfolios/p%3A1/task-orders",
            Some(TASK_ORDER),
            "atat/write-portfolio",
        ),
        (
            "update-task-order 1.3.1",
            "PUT /portfolios/p%3A1/task-orders/t%2F1",
            Some(TASK_ORDER),
            "atat/write-portfolio",
        ),
        (
            "add-operators 1.0.2",
            "PATCH /portfolios/p%3A1",
            Some(&*operators),
            "atat/write-portfolio",
        ),
        (
            "add-operators 1.1.0",
            "PATCH /portfolios/p%3A1/environments/e%201",
            Some(&*operators),
            "atat/write-portfolio",
        ),
    ] {
        let (operation, version) = what.split_once(' ').unwrap();
        let sent = start(operation, version).sent();
        assert_eq!((&*sent.line(), sent.body.as_deref()), (line, body), "{what}");
        assert_eq!((&sent.scopes[..], &*sent.retry), (&[scope.to_owned()][..], "safe"), "{what}");
        assert_eq!(sent.header("user-agent"), Some("ATAT CSP Api Client"));
        assert_eq!(sent.header("x-atat-api-version"), Some(version));
        assert_eq!(sent.header("content-type"), body.map(|_| "application/json"), "{what}");
    }
}

#[test]
fn costs_have_a_path_for_each_version_and_question() {
    const DATES: &str = r#""portfolioId":"p:1","startDate":"2022-01","endDate":"2022-12""#;
    const CLIN: &str = r#","taskOrderNumber":"T/1","clin":"0001""#;
    const QUERY: &str = "start_date=2022-01&end_date=2022-12";
    for (operation, version, clin, path) in [
        ("cost-by-portfolio", "1.3.1", "", "costs"),
        ("cost-by-portfolio", "1.0.2", "", "cost"),
        ("cost-by-clin", "1.3.1", CLIN, "task-orders/T%2F1/clins/0001/costs"),
    ] {
        let input = format!("{{{DATES}{clin}}}");
        let settings = format!(r#"{{"api_version":"{version}"}}"#);
        let sent = begin::<Atat>(job(operation, &input).settings(&settings)).sent();
        assert_eq!(sent.line(), format!("GET /portfolios/p%3A1/{path}?{QUERY}"));
        assert_eq!(sent.scopes, ["atat/read-cost"]);
        assert!(sent.body.is_none());
    }
}

#[test]
fn an_environment_has_a_deadline_by_its_classification() {
    let deadline = |fields: &str| {
        let payload = format!(r#"{{"name":"E","administrators":null,{fields}}}"#);
        let input = format!(r#"{{"jobId":"j","portfolioId":"p","payload":{payload}}}"#);
        let sent = begin::<Atat>(job("add-environment", &input)).sent();
        sent.header("x-provision-deadline").map(str::to_owned)
    };
    let in_hours = |time: &str| Some(format!("2030-01-0{time}:00:00.000Z"));
    assert_eq!(deadline(r#""classificationLevel":"UNCLASSIFIED""#), in_hours("2T02"));
    assert_eq!(deadline(r#""classificationLevel":"SECRET""#), in_hours("5T00"));
    assert_eq!(deadline(r#""classificationLevel":"TOP_SECRET""#), in_hours("5T00"));
    assert_eq!(deadline(r#""classificationLevel":"SECRET","isMigration":true"#), None);
    assert_eq!(deadline(r#""classificationLevel":"SECRET","isMigration":null"#), in_hours("5T00"));
}

#[test]
fn the_reported_deadline_equals_the_sent_one() {
    let mut run = start("add-environment", "1.3.1");
    run.pass(Duration::from_secs(600)).answer(Answer::new(200, r#"{"environment_id":"e"}"#));
    let done = run.done();
    assert!(
        done.request.contains(r#""provisionDeadline":"2030-01-05T00:00:00.000Z""#),
        "{}",
        done.request
    );
}

#[test]
fn a_success_names_its_object() {
    for (operation, name) in [
        ("add-portfolio", "portfolio"),
        ("get-portfolio", "portfolio"),
        ("add-environment", "environment"),
        ("add-task-order", "taskOrder"),
        ("update-task-order", "taskOrder"),
        ("add-operators", "operators"),
    ] {
        let mut run = start(operation, "1.3.1");
        let done = run.answer(Answer::new(200, r#"{"some_id":1.10,"n":null}"#)).done();
        let request = &done.request;
        assert_eq!(
            done.response,
            format!(
                r#"{{"{name}":{{"someId":1.10,"n":null}},"$metadata":{{"status":200,"request":{request}}}}}"#
            )
        );
    }
}

#[test]
fn responses_without_success_become_failures() {
    for (status, body, expected) in [
        (400, r#"{"a_b":1}"#, r#"refused 400 {"aB":1}"#),
        (404, "Not Found", r#"refused 404 {"details":"Not Found"}"#),
        (429, "", r#"refused 429 {"details":""}"#),
        (503, r#"{"a_b":1}"#, r#"unavailable 503 {"aB":1}"#),
        (500, "<html>", "unavailable 500 {}"),
        (200, "[]", "invalid-answer 502"),
        (200, "", "invalid-answer 502"),
        (204, "", r#"invalid-answer 502 {"details":"the CSP answered 204"#),
        (301, "", r#"invalid-answer 502 {"details":"the CSP answered 301"#),
        (
            202,
            "{}",
            r#"invalid-answer 500 {"details":"Location header was invalid or not provided"}"#,
        ),
    ] {
        let mut run = start("add-portfolio", "1.3.1");
        let failed = run.answer(Answer::new(status, body)).failed();
        let told = format!("{} {} {}", failed.class, failed.code, failed.response);
        assert!(told.starts_with(expected), "{status} {body}: {told}");
        assert!(failed.request.starts_with(r#"{"portfolio":{"name":"P""#), "{}", failed.request);
    }
}

#[test]
fn a_cost_answer_stands_alone_and_must_be_200() {
    let input = r#"{"portfolioId":"p","startDate":"2022-01","endDate":"2022-12"}"#;
    let cost_job = || begin::<Atat>(job("cost-by-portfolio", input));
    let done = cost_job().answer(Answer::new(200, r#"{"task_orders":[{"total":"50.00"}]}"#)).done();
    assert_eq!(done.response, r#"{"taskOrders":[{"total":"50.00"}]}"#);
    let accepted = Answer::new(202, "{}").header_added("location", LOCATION);
    assert_eq!(cost_job().answer(accepted).failed().class, "invalid-answer");
}

#[test]
fn accepted_work_is_polled_until_a_final_status_of_any_version() {
    let mut run = accepted("add-environment");
    for word in ["NOT_STARTED", "IN_PROGRESS"] {
        let waiting = run.waiting();
        assert_eq!((waiting.after, waiting.reference.as_deref()), (None, Some(LOCATION)));
        let sent = run.timer().sent();
        assert_eq!(sent.line(), format!("GET {LOCATION}"));
        assert_eq!(sent.scopes, ["atat/read-portfolio"]);
        run.answer(Answer::new(200, format!(r#"{{"status":"{word}"}}"#)));
    }
    for (word, code) in [("SUCCESS", 200), ("COMPLETE", 200), ("FAILURE", 500), ("FAILED", 500)] {
        let mut run = accepted("add-environment");
        run.timer().answer(Answer::new(
            200,
            format!(r#"{{"provisioning_job_id":"9","status":"{word}"}}"#),
        ));
        let (request, response) = match code {
            200 => (run.done().request, run.done().response),
            _ => (run.failed().request, run.failed().response),
        };
        assert_eq!(request, format!(r#"{{"location":"{LOCATION}"}}"#));
        assert_eq!(
            response,
            format!(
                r#"{{"status":{{"provisioningJobId":"9","status":"{word}","portfolioId":"p:1"}},"location":"{LOCATION}","$metadata":{{"status":200,"request":{request}}}}}"#
            )
        );
    }
}

#[test]
fn missing_ids_are_added_to_the_final_status() {
    for (body, expected) in [
        (
            r#"{"status":"SUCCESS"}"#,
            r#"{"status":"SUCCESS","provisioningJobId":"job-1","portfolioId":"p:1"}"#,
        ),
        (
            r#"{"provisioning_job_id":"9","portfolio_id":null,"status":"SUCCESS"}"#,
            r#"{"provisioningJobId":"9","portfolioId":null,"status":"SUCCESS"}"#,
        ),
    ] {
        let mut run = accepted("add-environment");
        let done = run.timer().answer(Answer::new(200, body)).done();
        let status = format!(r#"{{"status":{expected},"location""#);
        assert!(done.response.starts_with(&status), "{}", done.response);
    }
}

#[test]
fn an_unusable_poll_response_leaves_the_job_polling() {
    for (status, body, class) in [
        (404, "", "not-found"),
        (401, "", "unavailable"),
        (408, "", "unavailable"),
        (425, "", "unavailable"),
        (429, "", "unavailable"),
        (503, "", "unavailable"),
        (200, "not json", "unavailable"),
        (200, r#"{"status":"WONDERING"}"#, "unavailable"),
        (200, "{}", "unavailable"),
        (403, "", "refused"),
    ] {
        let mut run = accepted("add-portfolio");
        let failed = run.timer().answer(Answer::new(status, body)).failed();
        assert_eq!(failed.class, class, "{status} {body}");
    }
    let mut run = accepted("add-portfolio");
    assert_eq!(run.timer().no_answer("reset", None).failed().class, "unavailable");
}

#[test]
fn operators_that_cannot_be_added_are_refused_without_a_call() {
    let failed = start("add-operators", "1.3.2").failed();
    assert_eq!((&*failed.class, failed.code), ("unsupported", 400));
    let input =
        format!(r#"{{"jobId":"j","portfolioId":"p","payload":{{"administrators":{OPERATORS}}}}}"#);
    let failed = begin::<Atat>(job("add-operators", &input)).failed();
    assert_eq!((&*failed.class, failed.code), ("unsupported", 400));
    assert!(failed.response.contains("environmentId"), "{}", failed.response);
}

#[test]
fn an_invalid_version_setting_fails_the_job() {
    let failed = start("add-portfolio", "latest").failed();
    assert_eq!(failed.code, 500);
    assert!(failed.response.contains("api_version"), "{}", failed.response);
}

#[test]
fn without_a_response_the_last_one_sets_the_code() {
    let mut run = start("add-portfolio", "1.3.1");
    let failed = run.no_answer("reset", Some(Answer::new(503, r#"{"a_b":1}"#))).failed();
    assert_eq!((failed.code, &*failed.response), (503, r#"{"aB":1}"#));
    let mut run = start("add-portfolio", "1.3.1");
    assert_eq!(run.no_answer("timeout", None).failed().code, 504);
}

#[test]
fn polls_go_to_the_location_of_the_first_answer() {
    let mut run = accepted("add-portfolio");
    let moved = Answer::new(200, r#"{"status":"IN_PROGRESS"}"#).header_added("location", "/moved");
    run.timer().answer(moved);
    assert_eq!(run.waiting().reference.as_deref(), Some(LOCATION));
    run.timer().answer(Answer::new(202, r#"{"status":"COMPLETE"}"#));
    assert!(run.done().response.contains(r#""$metadata":{"status":202,"#));
}

#[test]
fn an_invalid_version_setting_does_not_end_a_wait() {
    let mut run = accepted("add-portfolio");
    assert_eq!(run.set_settings(r#"{"api_version":1.3}"#).timer().failed().class, "unavailable");
}

#[test]
fn a_state_that_cannot_be_read_is_named() {
    let job = || job("add-portfolio", &input("add-portfolio"));
    let mut run = resume::<Atat>(job(), 1, r#"{"accepted":{"location":"/jobs/1"}}"#);
    assert_eq!(run.sent().line(), "GET /jobs/1");
    assert_eq!(run.no_answer("token-refused", None).failed().class, "unavailable");
    let failed = resume::<Atat>(job(), 2, r#"{"elsewhere":{}}"#).failed();
    assert!(failed.message.contains("state of version 2"), "{}", failed.message);
}

const WORDS: &[&str] =
    &[r#""SUCCESS""#, r#""FAILED""#, r#""IN_PROGRESS""#, r#""a\nb""#, "1", "null", "{}"];

proptest! {
    /// The test kit panics if a step breaks the contract.
    #[test]
    fn every_response_leads_to_a_valid_step(
        operation in select(operation::ALL),
        status in 100_u16..=999,
        body in prop_oneof![
            r#"[\[\]{}",:a_B1.e\\ud80]{0,24}"#.prop_map(String::into_bytes),
            vec(any::<u8>(), 0..24),
            select(WORDS).prop_map(|word| format!(r#"{{"status":{word}}}"#).into_bytes()),
        ],
        located in any::<bool>(),
    ) {
        let input = match operation.starts_with("cost") {
            true => r#"{"portfolioId":"p","startDate":"a","endDate":"b","taskOrderNumber":"t","clin":"c"}"#.to_owned(),
            false => input(operation),
        };
        let answer = |status| {
            let answer = Answer::new(status, body.clone());
            if located { answer.header_added("location", LOCATION) } else { answer }
        };
        begin::<Atat>(job(operation, &input)).answer(answer(status));
        begin::<Atat>(job(operation, &input)).answer(answer(200));
        accepted("add-portfolio").timer().answer(answer(status));
        accepted("add-portfolio").timer().answer(answer(200));
        begin::<Atat>(job(operation, &input)).no_answer("reset", Some(answer(status)));
    }
}
