//! Errors that any call may meet.

use super::*;

const READ: &str = r#"{"portfolioId":"p1","payload":{}}"#;

#[test]
fn the_class_of_a_failure_follows_from_the_error() {
    for (status, body, class, code) in [
        (404, error("NotFound"), "refused", 404),
        (403, error("AuthorizationFailed"), "refused", 403),
        (400, error("BadRequest"), "refused", 400),
        (409, error("RoleAssignmentExists"), "refused", 409),
        (500, error("InternalServerError"), "unavailable", 502),
        (503, "<html>".to_owned(), "unavailable", 502),
        (302, String::new(), "invalid-answer", 502),
        (200, "<html>".to_owned(), "invalid-answer", 502),
        (200, "{}".to_owned(), "invalid-answer", 502),
    ] {
        let mut run = begin("get-portfolio", READ);
        run.answer(Answer::new(status, body));
        let failure = run.failed();
        assert_eq!((failure.class.as_str(), failure.code), (class, code), "{status}");
    }
    let mut run = begin("get-portfolio", READ);
    run.no_answer("timeout", Some(Answer::new(503, "")));
    assert_eq!((run.failed().class.as_str(), run.failed().code), ("unavailable", 503));
}

#[test]
fn a_throttle_is_waited_for() {
    let throttled = || Answer::new(429, error("TooManyRequests"));
    let mut run = begin("get-portfolio", READ);
    run.answer(throttled().header_added("retry-after", "7"));
    assert!(run.step().contains("\n  after: 7001 ms"), "{}", run.step());
    // A longer pause than the job may keep its turn.
    run.answer(throttled().header_added("retry-after", "90"));
    let waiting = run.waiting();
    assert_eq!(waiting.purpose, "pause");
    assert_eq!(waiting.after.map(|after| after.as_secs()), Some(90));
    assert_eq!(waiting.note, "Azure asks to wait: TooManyRequests");
    run.timer();
    expect(&mut run, "GET ", "", 200, GROUP);
    run.done();
    // It has an end.
    let mut run = begin("get-portfolio", READ);
    for _ in 0..hoth_adapter::calls::SOON_MAX {
        run.answer(throttled());
    }
    for _ in 0..crate::arm::PAUSES_MAX {
        run.answer(throttled());
        assert_eq!(run.waiting().after, None);
        run.timer();
    }
    run.answer(throttled());
    assert_eq!((run.failed().class.as_str(), run.failed().code), ("unavailable", 503));
}

#[test]
fn a_conflict_of_two_changes_is_waited_for() {
    let mut run = begin("add-portfolio", r#"{"payload":{"name":"P1","taskOrders":[]}}"#);
    expect(&mut run, "PUT ", "", 409, &error("AnotherOperationInProgress"));
    expect(&mut run, "PUT ", "", 200, GROUP);
    run.done();
}

#[test]
fn a_lost_creation_is_made_again_because_its_name_is_known() {
    for (operation, input, answer) in [
        ("add-portfolio", r#"{"payload":{"name":"P1","taskOrders":[]}}"#, GROUP),
        (
            "add-environment",
            r#"{"portfolioId":"p1","payload":{"name":"E","administrators":null,"classificationLevel":"UNCLASSIFIED"}}"#,
            environment::CREATED,
        ),
    ] {
        let mut run = begin(operation, input);
        let first = run.sent();
        run.no_answer("timeout", None);
        assert_eq!(run.waiting().purpose, "pause");
        run.timer();
        assert_eq!(run.sent(), first);
        run.answer(Answer::new(200, answer));
        run.done();
    }
}

#[test]
fn settings_that_cannot_be_read_are_named() {
    for (settings, message) in [
        ("{}", "the settings cannot be read: missing field cloud"),
        (r#"{"cloud":"moon"}"#, "the settings cannot be read: unknown variant"),
        (r#"{"cloud":"public","rol":"x"}"#, "the settings cannot be read: unknown field"),
    ] {
        let run = begin_with(testing::job("get-portfolio", READ).settings(settings));
        let failure = run.failed();
        assert_eq!(failure.code, 500);
        assert!(failure.message.starts_with(message), "{}", failure.message);
    }
}

#[test]
fn each_cloud_has_its_scopes() {
    for (settings, arm) in [
        (r#"{"cloud":"public"}"#, "https://management.azure.com/.default"),
        (r#"{"cloud":"us-government"}"#, ARM),
        (r#"{"cloud":"us-government","arm_scope":"api://x/.default"}"#, "api://x/.default"),
    ] {
        let run = begin_with(testing::job("get-portfolio", READ).settings(settings));
        assert_eq!(run.sent().scopes, [arm]);
    }
}
