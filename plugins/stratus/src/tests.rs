//! Tests of the API's table, row by row, and of whole jobs, with values only.

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

use crate::BUSY_MAX;
use crate::Stratus;

const TASK_ORDER: &str = r#"{"taskOrderNumber":"F 1","popStartDate":"2021-07","popEndDate":"2026-07","clins":[{"clin_number":"0001","type":"NON_CLOUD","classificationLevel":"SECRET","popStartDate":"2021-07","popEndDate":"2026-07"}]}"#;
const FUNDING: &str = r#"{"number":"F 1","from":"2021-07","to":"2026-07","lines":[{"line":"0001","kind":"other","tier":"guarded","from":"2021-07","to":"2026-07"}]}"#;
const OPERATORS: &str = r#"[{"email":"a@mil","dod_id":"1","needsReset":null}]"#;
const CONTACTS: &str = r#"{"contacts":[{"mail":"a@mil","person":"1","mustReset":false}]}"#;

fn input(operation: &str) -> String {
    let payload = match operation {
        "add-portfolio" => format!(r#"{{"name":"P","taskOrders":[{TASK_ORDER}]}}"#),
        "get-portfolio" => "{}".to_owned(),
        "add-environment" => format!(
            r#"{{"name":"E","administrators":{OPERATORS},"classificationLevel":"UNCLASSIFIED",
                "cloudDistinguisher":{{"name":"z","displayName":"Z","description":"d"}},"accountName":"A"}}"#
        ),
        "add-task-order" => format!(r#"{{"taskOrder":{TASK_ORDER}}}"#),
        "update-task-order" => format!(r#"{{"taskOrderId":"t","taskOrder":{TASK_ORDER}}}"#),
        "add-operators" => format!(r#"{{"environmentId":"a/1","administrators":{OPERATORS}}}"#),
        _ => {
            return r#"{"portfolioId":"p:1","startDate":"2022-01","endDate":"2022-12","taskOrderNumber":"F 1","clin":"0001"}"#
                .to_owned();
        }
    };
    let portfolio = if operation == "add-portfolio" { "" } else { r#""portfolioId":"p:1","# };
    format!(r#"{{"jobId":"job-1",{portfolio}"payload":{payload}}}"#)
}

fn start(operation: &str) -> Run<Stratus> {
    begin(job(operation, &input(operation)))
}

fn data(data: &str) -> Answer {
    Answer::new(200, format!(r#"{{"data":{data}}}"#))
}

fn fault(fault: &str) -> Answer {
    Answer::new(200, format!(r#"{{"fault":{fault}}}"#))
}

fn busy(millis: u64) -> Answer {
    fault(&format!(r#"{{"kind":"busy","text":"later","retryInMs":{millis}}}"#))
}

fn operation_is(state: &str) -> Answer {
    data(&format!(r#"{{"operationId":"op/1","state":"{state}"}}"#))
}

/// Returns an environment whose account is being created.
fn making() -> Run<Stratus> {
    let mut run = start("add-environment");
    run.answer(data(r#"{"accountId":"acc","operationId":"op/1"}"#));
    run
}

#[test]
fn every_operation_begins_with_its_call() {
    let tenant = format!(r#"{{"label":"P","fundings":[{FUNDING}]}}"#);
    let account = r#"{"alias":"E","tier":"open","zone":"z","title":"A"}"#;
    const CHARGES: &str = "GET /tenants/p%3A1/charges?from=2022-01&to=2022-12";
    for (operation, line, body) in [
        ("add-portfolio", "POST /tenants", Some(&*tenant)),
        ("get-portfolio", "GET /tenants/p%3A1", None),
        ("add-environment", "POST /tenants/p%3A1/accounts", Some(account)),
        ("add-task-order", "POST /tenants/p%3A1/fundings", Some(FUNDING)),
        ("add-operators", "GET /accounts/a%2F1", None),
        ("cost-by-portfolio", CHARGES, None),
        ("cost-by-clin", &*format!("{CHARGES}&funding=F 1&line=0001"), None),
    ] {
        let sent = start(operation).sent();
        assert_eq!((&*sent.line(), sent.body.as_deref()), (line, body), "{operation}");
        let once = sent.method == "POST";
        assert_eq!(sent.header("stratus-once"), once.then_some("job-1"), "{operation}");
        assert!(sent.retry == "safe" && sent.scopes.is_empty());
    }
}

#[test]
fn creating_requests_carry_a_key_from_the_job_id() {
    let input = input("add-task-order");
    let sent = begin::<Stratus>(hoth_adapter::Job {
        id: "jöb 1".to_owned(),
        ..job("add-task-order", &input).build()
    })
    .sent();
    assert_eq!(sent.header("stratus-once"), Some("j%C3%B6b%201"));
}

#[test]
fn an_environment_takes_three_calls_that_build_on_one_another() {
    let mut run = making();
    assert_eq!(run.waiting().reference.as_deref(), Some("op/1"));
    assert_eq!(run.waiting().after, None);
    run.timer();
    assert_eq!(run.sent().line(), "GET /operations/op%2F1");
    run.answer(data(r#"{"operationId":"op/1","state":"RUNNING","checkInMs":2500}"#));
    assert_eq!(run.waiting().after, Some(Duration::from_millis(2500)));
    run.timer().answer(operation_is("DONE"));

    assert_eq!(run.waiting().purpose, "checkpoint");
    run.timer();
    assert_eq!(run.sent().line(), "PUT /accounts/acc/contacts");
    assert_eq!(run.sent().body.as_deref(), Some(CONTACTS));
    run.answer(data(CONTACTS));

    assert_eq!(run.waiting().purpose, "checkpoint");
    run.timer();
    assert_eq!(run.sent().line(), "GET /accounts/acc");
    run.answer(data(r#"{"accountId":"acc","alias":"E","budget":1.10}"#));
    let done = run.done();
    assert!(done.request.starts_with(r#"{"portfolioId":"p:1","environment":{"name":"E","#));
    assert_eq!(
        done.response,
        format!(
            r#"{{"status":{{"provisioningJobId":"job-1","portfolioId":"p:1","environmentId":"acc","status":"SUCCESS"}},"environment":{{"accountId":"acc","alias":"E","budget":1.10,"id":"acc"}},"$metadata":{{"status":200,"request":{}}}}}"#,
            done.request
        )
    );
}

#[test]
fn a_portfolio_is_made_and_read() {
    let mut run = start("add-portfolio");
    run.answer(data(r#"{"tenantId":"t 1","operationId":"op"}"#)).timer();
    run.answer(operation_is("DONE")).timer();
    assert_eq!(run.sent().line(), "GET /tenants/t%201");
    run.answer(data(r#"{"tenantId":"t 1","label":"P"}"#));
    assert!(
        run.done()
            .response
            .starts_with(r#"{"portfolio":{"tenantId":"t 1","label":"P","id":"t 1"},"$metadata""#),
        "{}",
        run.done().response
    );
}

#[test]
fn operators_are_added_to_the_existing_ones() {
    let mut run = start("add-operators");
    run.answer(data(
        r#"{"contacts":[{"mail":"old","person":"1"},{"mail":"b@mil","person":"2","n":1.0},{}]}"#,
    ));
    assert_eq!(run.sent().line(), "PUT /accounts/a%2F1/contacts");
    let merged = r#"{"contacts":[{"mail":"b@mil","person":"2","n":1.0},{},{"mail":"a@mil","person":"1","mustReset":false}]}"#;
    assert_eq!(run.sent().body.as_deref(), Some(merged));
    run.answer(data(merged));
    let done = run.done();
    assert!(done.response.starts_with(r#"{"operators":{"contacts":[{"mail":"b@mil""#));
    assert!(done.response.contains(r#""id":"a/1"},"$metadata""#), "{}", done.response);
    assert_eq!(
        done.request,
        r#"{"portfolioId":"p:1","environmentId":"a/1","administrators":[{"email":"a@mil","dodId":"1","needsReset":null}]}"#
    );
}

#[test]
fn unsupported_operations_are_refused_without_a_call() {
    let refused = |operation: &str, change: fn(String) -> String| {
        let failed = begin::<Stratus>(job(operation, &change(input(operation)))).failed();
        format!("{} {} {}", failed.class, failed.code, failed.response)
    };
    let as_it_is = |input| input;
    assert_eq!(
        refused("update-task-order", as_it_is),
        r#"unsupported 400 {"details":"the CSP's API has no operation update-task-order"}"#
    );
    let nowhere = |input: String| input.replace(r#""environmentId":"a/1","#, "");
    assert_eq!(
        refused("add-operators", nowhere),
        r#"unsupported 400 {"details":"the request lacks payload.environmentId"}"#
    );
    let top_secret = |input: String| input.replace("UNCLASSIFIED", "TOP_SECRET");
    assert_eq!(
        refused("add-environment", top_secret),
        r#"unsupported 400 {"details":"the CSP has nothing for the classification TOP_SECRET"}"#
    );
    let odd = |input: String| input.replace("UNCLASSIFIED", "ODD");
    assert!(refused("add-environment", odd).starts_with("unsupported 400"));
}

#[test]
fn a_fault_becomes_a_refusal() {
    for (kind, expected) in [
        ("malformed", "refused 400"),
        ("depleted", "refused 402"),
        ("denied", "refused 403"),
        ("absent", "refused 404"),
        ("taken", "refused 409"),
    ] {
        let mut run = start("add-task-order");
        let failed = run.answer(fault(&format!(r#"{{"kind":"{kind}","text":"T","a":1.0}}"#)));
        let failed = failed.failed();
        let told = format!("{} {} {}", failed.class, failed.code, failed.response);
        let words = format!(r#"{{"details":"T","fault":{{"kind":"{kind}","text":"T","a":1.0}}}}"#);
        assert_eq!(told, format!("{expected} {words}"));
        assert!(failed.request.starts_with(r#"{"portfolioId":"p:1","taskOrder":{"#));
    }
    for (answer, expected) in [
        (fault(r#"{"kind":"crashed"}"#), r#"unavailable 502 {"fault":{"kind":"crashed"}}"#),
        (fault("{}"), r#"invalid-answer 502 {"details":"the CSP reports a fault of an unknown"#),
        (Answer::new(200, "{}"), r#"invalid-answer 502 {"details":"the CSP answered an envelope"#),
        (Answer::new(200, "[]"), "invalid-answer 502"),
        (Answer::new(202, r#"{"data":{}}"#), "invalid-answer 502"),
        (data("{}"), "invalid-answer 502"),
        (Answer::new(403, "no"), r#"refused 403 {"details":"no"}"#),
        (Answer::new(503, ""), "unavailable 503 {}"),
    ] {
        let failed = start("add-portfolio").answer(answer).failed();
        let told = format!("{} {} {}", failed.class, failed.code, failed.response);
        assert!(told.starts_with(expected), "{told}");
    }
}

#[test]
fn a_busy_csp_is_asked_again_as_if_for_the_first_time() {
    let mut run = start("add-environment");
    run.answer(busy(7_000));
    assert_eq!(run.waiting().after, Some(Duration::from_secs(7)));
    assert_eq!(run.waiting().purpose, "pause");
    run.timer();
    assert_eq!(run.sent().line(), "POST /tenants/p%3A1/accounts");
    assert_eq!(run.sent().header("stratus-once"), Some("job-1"));
}

#[test]
fn a_requested_wait_is_bounded() {
    for (asked, after) in [(0, 100), (250, 250), (u64::MAX, 3_600_000)] {
        let mut run = start("add-task-order");
        run.answer(busy(asked));
        assert_eq!(run.waiting().after, Some(Duration::from_millis(after)));
    }
    for retry in ["", r#","retryInMs":"soon""#, r#","retryInMs":-1"#] {
        let mut run = start("add-task-order");
        run.answer(fault(&format!(r#"{{"kind":"busy"{retry}}}"#)));
        assert_eq!(run.waiting().after, None, "{retry}");
    }
}

#[test]
fn a_csp_that_stays_busy_fails_the_job() {
    let mut run = start("add-task-order");
    for _ in 0..BUSY_MAX {
        run.answer(busy(1)).timer();
    }
    let failed = run.answer(busy(1)).failed();
    assert_eq!((&*failed.class, failed.code), ("unavailable", 503));
    assert!(failed.message.contains("21 times"), "{}", failed.message);
}

#[test]
fn a_busy_poll_stays_a_poll() {
    let mut run = making();
    for _ in 0..BUSY_MAX + 5 {
        run.timer().answer(busy(500));
        assert_eq!(run.waiting().after, Some(Duration::from_millis(500)));
        assert_eq!(run.waiting().purpose, "poll");
        assert_eq!(run.waiting().reference.as_deref(), Some("op/1"));
    }
    assert_eq!(run.timer().sent().line(), "GET /operations/op%2F1");
}

#[test]
fn an_unusable_poll_response_leaves_the_job_polling() {
    for (answer, class) in [
        (fault(r#"{"kind":"absent"}"#), "not-found"),
        (fault(r#"{"kind":"crashed"}"#), "unavailable"),
        (fault(r#"{"kind":"denied"}"#), "refused"),
        (fault(r#"{"kind":"odd"}"#), "unavailable"),
        (operation_is("WONDERING"), "unavailable"),
        (Answer::new(200, "not json"), "unavailable"),
        (Answer::new(404, ""), "not-found"),
        (Answer::new(401, ""), "unavailable"),
        (Answer::new(429, ""), "unavailable"),
        (Answer::new(503, ""), "unavailable"),
    ] {
        let failed = making().timer().answer(answer.clone()).failed();
        assert_eq!(failed.class, class, "{answer:?}");
        assert!(failed.request.ends_with(r#","operationId":"op/1"}"#), "{}", failed.request);
    }
    assert_eq!(making().timer().no_answer("reset", None).failed().class, "unavailable");
}

#[test]
fn a_failed_operation_fails_the_job() {
    let mut run = making();
    let broken = data(r#"{"operationId":"op/1","state":"BROKEN","reason":"no room"}"#);
    let failed = run.timer().answer(broken).failed();
    assert_eq!(failed.class, "job-failed");
    assert_eq!(
        failed.response,
        r#"{"status":{"provisioningJobId":"job-1","portfolioId":"p:1","environmentId":"acc","status":"FAILURE"},"operation":{"operationId":"op/1","state":"BROKEN","reason":"no room"}}"#
    );
}

fn page(charges: &str, next: &str) -> Answer {
    Answer::new(200, format!(r#"{{"data":{{"charges":[{charges}]}}{next}}}"#))
}

fn charge(funding: &str, line: &str, period: &str, micros: &str, nature: &str) -> String {
    format!(
        r#"{{"funding":"{funding}","line":"{line}","period":"{period}","micros":"{micros}","nature":"{nature}"}}"#
    )
}

#[test]
fn charges_are_summed_up_over_all_pages() {
    let mut run = start("cost-by-portfolio");
    let first = [
        charge("F1", "0001", "2022-01", "20000000", "billed"),
        charge("F1", "0001", "2022-02", "30000000", "billed"),
    ];
    run.answer(page(&first.join(","), r#","next":"t/2""#));
    assert_eq!(run.sent().query[2], ("page".to_owned(), "t/2".to_owned()));
    run.answer(busy(300));
    assert_eq!(run.waiting().after, Some(Duration::from_millis(300)));
    run.timer();
    assert_eq!(run.sent().query[2], ("page".to_owned(), "t/2".to_owned()));
    let second = [
        charge("F1", "0001", "2022-02", "-500001", "billed"),
        charge("F1", "0001", "2022-03", "1", "estimated"),
        charge("F0", "0002", "2022-01", "10000", "billed"),
    ];
    run.answer(page(&second.join(","), ""));
    assert_eq!(
        run.done().response,
        concat!(
            r#"{"taskOrders":[{"taskOrderNumber":"F0","clins":[{"clinNumber":"0002","actual":{"total":"0.01","results":[{"month":"2022-01","value":"0.01"}]}}]},"#,
            r#"{"taskOrderNumber":"F1","clins":[{"clinNumber":"0001","actual":{"total":"49.499999","results":[{"month":"2022-01","value":"20.00"},{"month":"2022-02","value":"29.499999"}]},"#,
            r#""forecast":{"total":"0.000001","results":[{"month":"2022-03","value":"0.000001"}]}}]}]}"#
        )
    );
}

#[test]
fn a_funding_without_charges_has_no_task_order() {
    assert_eq!(start("cost-by-clin").answer(page("", "")).done().response, r#"{"taskOrders":[]}"#);
}

#[test]
fn pages_and_sums_have_a_bound() {
    let mut run = start("cost-by-portfolio");
    for nth in 1..50 {
        run.answer(page("", &format!(r#","next":"{nth}""#)));
    }
    let failed = run.answer(page("", r#","next":"50""#)).failed();
    assert!(failed.message.contains("50 pages"), "{}", failed.message);

    let months = |count: usize| {
        let each = |nth| charge("F", "L", &format!("{nth:07}"), "1000000000000", "billed");
        (0..count).map(each).collect::<Vec<_>>().join(",")
    };
    let mut run = start("cost-by-portfolio");
    run.answer(page(&months(1_000), r#","next":"2""#));
    assert!(run.state().len() < 48 << 10, "{}", run.state().len());
    let failed = run.answer(page(&months(2_000), r#","next":"3""#)).failed();
    assert!(failed.message.contains("fewer months"), "{}", failed.message);
}

#[test]
fn amounts_in_another_format_are_refused() {
    for micros in ["1.5", "", "x", "9223372036854775808", "1 000"] {
        let odd = charge("F", "L", "2022-01", micros, "billed");
        let failed = start("cost-by-portfolio").answer(page(&odd, "")).failed();
        assert_eq!(failed.class, "invalid-answer", "{micros}");
        assert_eq!(failed.message, "the CSP answered charges of another form");
    }
    let most = charge("F", "L", "2022-01", "9223372036854775807", "billed");
    let failed = start("cost-by-portfolio").answer(page(&format!("{most},{most}"), "")).failed();
    assert!(failed.message.contains("beyond all bounds"), "{}", failed.message);
}

#[test]
fn states_of_version_1_are_read() {
    let job = || job("add-environment", &input("add-environment"));
    let state =
        r#"{"due":{"call":{"read-operation":{"operation":"op","made":{"account":"a"}}},"busy":0}}"#;
    assert_eq!(resume::<Stratus>(job(), 1, state).sent().line(), "GET /operations/op");
    let state = r#"{"due":{"call":{"put-contacts":{"account":"a","before":[]}},"busy":0}}"#;
    assert_eq!(resume::<Stratus>(job(), 1, state).sent().line(), "PUT /accounts/a/contacts");
    let state = r#"{"put-off":{"call":"make-account","busy":3}}"#;
    assert_eq!(resume::<Stratus>(job(), 1, state).sent().line(), "POST /tenants/p%3A1/accounts");
}

proptest! {
    /// The test kit panics if a step breaks the contract.
    #[test]
    fn every_response_leads_to_a_valid_step(
        operation in select(operation::ALL),
        status in prop_oneof![Just(200_u16), 100_u16..=999],
        body in prop_oneof![
            vec(any::<u8>(), 0..24),
            (select(vec!["data", "fault", "next"]), r#"[\[\]{}",:a_B1.e\\ud80]{0,24}"#)
                .prop_map(|(key, value)| format!(r#"{{"{key}":{value}}}"#).into_bytes()),
            (select(vec!["kind", "text", "accountId", "operationId", "state", "charges", "contacts"]),
             select(vec![r#""busy""#, r#""DONE""#, "[]", "{}", "1", "null"]),
             select(vec!["data", "fault"]))
                .prop_map(|(key, value, of)| format!(r#"{{"{of}":{{"{key}":{value}}}}}"#).into_bytes()),
        ],
    ) {
        let answer = |status| Answer::new(status, body.clone());
        if operation != operation::UPDATE_TASK_ORDER {
            start(operation).answer(answer(status));
            start(operation).no_answer("reset", Some(answer(status)));
        }
        making().timer().answer(answer(status));
        making().timer().answer(operation_is("DONE")).timer().answer(answer(status));
    }
}
