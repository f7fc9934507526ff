//! Tests of the bounds, one line for each.

use super::json::JSON_BYTES_MAX;
use super::json::incompatible_json;
use super::*;

fn outcome(code: u16, request: &str, response: &str) -> types::Outcome {
    types::Outcome {
        code,
        request: request.to_owned(),
        response: response.to_owned(),
        extra: vec![],
    }
}

fn state(version: u32, bytes: usize) -> types::StateResult {
    types::StateResult { version, bytes: vec![0; bytes] }
}

fn request() -> types::HttpRequest {
    types::HttpRequest {
        method: types::Method::Get,
        target: types::Target::Path("/portfolios".to_owned()),
        query: vec![],
        headers: vec![],
        body: None,
        credential: types::Credential::Default,
        scopes: vec![],
        retry: "safe".to_owned(),
        extra: vec![],
    }
}

fn pairs(count: usize, value_bytes: usize) -> Vec<types::PairResult> {
    let pair = types::PairResult { name: "n".to_owned(), value: "v".repeat(value_bytes) };
    vec![pair; count]
}

fn send(request: types::HttpRequest) -> types::Step {
    types::Step::Send(types::SendStep {
        request,
        state: state(1, 0),
        after_ms: None,
        extra: vec![],
    })
}

fn wait_step() -> types::WaitStep {
    types::WaitStep {
        after_ms: None,
        purpose: "poll".to_owned(),
        state: state(1, 0),
        progress: types::Progress {
            reference: None,
            note: String::new(),
            details: "{}".to_owned(),
        },
        extra: vec![],
    }
}

#[track_caller]
fn check(step: types::Step, expected: Result<(), &str>) {
    let checked = super::step(step, (1, 3)).map(drop);
    assert_eq!(checked.as_ref().map_err(String::as_str).copied(), expected);
}

#[test]
fn an_outcome_has_a_status_and_two_json_objects() {
    let done = |code, request, response| types::Step::Done(outcome(code, request, response));
    check(done(200, "{}", " {\"a\": [1]} "), Ok(()));
    check(done(599, "{}", "{}"), Ok(()));
    check(done(199, "{}", "{}"), Err("the outcome's code is 199, not 200 to 599"));
    check(done(600, "{}", "{}"), Err("the outcome's code is 600, not 200 to 599"));
    check(done(200, "[]", "{}"), Err("the outcome's request is not a JSON object"));
    check(done(200, "{}", "null"), Err("the outcome's response is not a JSON object"));
    check(
        done(200, "{}", "{} {}"),
        Err("the outcome's response is not JSON: trailing characters at line 1 column 4"),
    );
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(JSON_BYTES_MAX));
    check(
        done(200, &long, "{}"),
        Err("the outcome's request has 1048584 bytes, more than 1048576"),
    );
}

#[test]
fn json_that_common_parsers_refuse_is_found_at_any_depth() {
    let nested = |depth| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let half = Some("has half of a surrogate pair, which is no character");
    for (json, expected) in [
        (r#"{"a":"b"}"#, None),
        (r#"{"a":"\ud83d\ude00"}"#, None),
        (r#"{"a":"\\ud83d"}"#, None),
        (r#"{"a":"\\\uD83D"}"#, half),
        (r#"{"a":"\u00e9\n\""}"#, None),
        (r#"{"a":"\ud83d"}"#, half),
        (r#"{"a":"\ud83d\n"}"#, half),
        (r#"{"a":"\ud83d\ud83d\ude00"}"#, half),
        (r#"{"\ude00":1}"#, half),
        (&nested(99), None),
        (&nested(100), Some("is nested deeper than 100 levels")),
        (&format!("{{\"a\":\"\\\"{}\"}}", "[".repeat(200)), None),
        (&format!("[{}]", vec!["{}"; 200].join(",")), None),
    ] {
        assert_eq!(incompatible_json(json).as_deref(), expected, "{json}");
    }
}

#[test]
fn a_state_fits_a_message_and_can_be_resumed() {
    let wait = |state| types::Step::Wait(types::WaitStep { state, ..wait_step() });
    check(wait(state(1, 256 << 10)), Ok(()));
    check(wait(state(3, 0)), Ok(()));
    check(wait(state(1, 262_145)), Err("the state has 262145 bytes, more than 262144"));
    check(wait(state(4, 0)), Err("the state has version 4, and the adapter resumes 1 to 3"));
    check(wait(state(0, 0)), Err("the state has version 0, and the adapter resumes 1 to 3"));
}

#[test]
fn a_request_has_bounds() {
    check(send(request()), Ok(()));
    check(send(types::HttpRequest { headers: pairs(64, 255), ..request() }), Ok(()));
    check(
        send(types::HttpRequest { headers: pairs(65, 1), ..request() }),
        Err("65 headers of the request, more than 64"),
    );
    check(
        send(types::HttpRequest { headers: pairs(64, 256), ..request() }),
        Err("the headers of the request have 16448 bytes, more than 16384"),
    );
    check(
        send(types::HttpRequest { query: pairs(65, 1), ..request() }),
        Err("65 query parameters of the request, more than 64"),
    );
    check(
        send(types::HttpRequest {
            body: Some(vec![0; HttpRequest::BODY_BYTES_MAX + 1]),
            ..request()
        }),
        Err("the body of the request has 1048577 bytes, more than 1048576"),
    );
    let target = types::Target::Location("x".repeat(HttpRequest::TARGET_BYTES_MAX + 1));
    check(
        send(types::HttpRequest { target, ..request() }),
        Err("the target of the request has 8193 bytes, more than 8192"),
    );
    let named = |name: &str, parameters| {
        let name = name.to_owned();
        let credential = types::Credential::Named(types::CredentialUse { name, parameters });
        send(types::HttpRequest { credential, ..request() })
    };
    check(named("member", pairs(8, 256)), Ok(()));
    check(named("", vec![]), Err("the name of the credential is empty"));
    check(
        named("member", pairs(9, 1)),
        Err("the credential of the request has 9 parameters, more than 8"),
    );
    check(
        named("member", pairs(1, 257)),
        Err("the value of a parameter of the credential has 257 bytes, more than 256"),
    );
    let endpoint = |endpoint: &str| {
        let (endpoint, path) = (endpoint.to_owned(), "/".to_owned());
        let target = types::EndpointPath { endpoint, path, parameters: vec![] };
        send(types::HttpRequest { target: types::Target::Endpoint(target), ..request() })
    };
    check(endpoint("costs"), Ok(()));
    check(endpoint(""), Err("the name of the endpoint is empty"));
    check(
        send(types::HttpRequest { extra: pairs(65, 1), ..request() }),
        Err("65 extra pairs of the request, more than 64"),
    );
    check(
        send(types::HttpRequest { scopes: vec!["s".to_owned(); 17], ..request() }),
        Err("the request has 17 scopes, more than 16"),
    );
}

#[test]
fn unknown_words_and_steps_are_named() {
    check(
        send(types::HttpRequest { retry: "perhaps".to_owned(), ..request() }),
        Err("this host knows no retry of a request \"perhaps\""),
    );
    check(
        types::Step::Wait(types::WaitStep { purpose: "nap".to_owned(), ..wait_step() }),
        Err("this host knows no purpose of a wait \"nap\""),
    );
    let (name, value) = ("fan-out".to_owned(), "{}".to_owned());
    check(
        types::Step::Other(types::ExtensionResult { name, value }),
        Err("it returned a step \"fan-out\", which this host does not know"),
    );
}

#[test]
fn details_of_a_progress_are_an_object() {
    let wait = |details: &str| {
        let progress = types::Progress { details: details.to_owned(), ..wait_step().progress };
        step(types::Step::Wait(types::WaitStep { progress, ..wait_step() }), (1, 1))
    };
    let details = |step: Result<Step, Violation>| match step {
        Ok(Step::Wait(wait)) => wait.progress.details.map(|it| it.get().to_owned()),
        Ok(Step::Send(_) | Step::Done(_) | Step::Fail(_)) => panic!("it is a wait"),
        Err(what) => Some(what),
    };
    assert_eq!(details(wait("{ }")), None);
    assert_eq!(details(wait(r#"{"a":1.0}"#)).as_deref(), Some(r#"{"a":1.0}"#));
    let refused = |what: &str| Some(what.to_owned());
    assert_eq!(details(wait("[]")), refused("the progress's details is not a JSON object"));
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(16 << 10));
    let bytes = "the details of the progress have 16392 bytes, more than 16384";
    assert_eq!(details(wait(&long)), refused(bytes));
}

#[test]
fn long_messages_are_cut_at_a_character() {
    let failure = types::Failure {
        class: "from-the-future".to_owned(),
        message: "ä".repeat(1_000),
        outcome: outcome(400, "{}", "{}"),
        extra: vec![],
    };
    let Ok(Step::Fail(failure)) = step(types::Step::Fail(failure), (0, 0)) else {
        panic!("a long message is cut, not refused");
    };
    assert_eq!(failure.class, FailureClass::Refused);
    assert_eq!(failure.message, format!("{}…", "ä".repeat(510)));
}

#[test]
fn a_description_has_bounds() {
    let good = wit::Info {
        name: "atat".to_owned(),
        version: "1.0.0".to_owned(),
        operations: vec!["add-portfolio".to_owned()],
        states: (1, 1),
        manifest: "{}".to_owned(),
    };
    assert!(info(good.clone()).is_ok());
    for (wrong, expected) in [
        (wit::Info { name: "a".repeat(65), ..good.clone() }, "its name has 65 bytes"),
        (wit::Info { version: String::new(), ..good.clone() }, "its version is empty"),
        (wit::Info { operations: vec![], ..good.clone() }, "it has no operation"),
        (
            wit::Info { operations: vec!["a".to_owned(); 65], ..good.clone() },
            "it has 65 operations, more than 64",
        ),
        (wit::Info { states: (2, 1), ..good.clone() }, "the states 2 to 1, an empty range"),
        (
            wit::Info { manifest: "[]".to_owned(), ..good.clone() },
            "its manifest cannot be used: it is not a JSON object",
        ),
    ] {
        let wrong = info(wrong).unwrap_err();
        assert!(wrong.contains(expected), "{wrong}");
    }
}
