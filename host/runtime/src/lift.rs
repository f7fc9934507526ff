//! The lifting of guest values to host types, with checks of their sizes and
//! shapes.
//!
//! Nothing that a guest returns is trusted before it has passed through this
//! module. `hoth-egress` decides whether a request may be sent.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::contract::Info;
use super::text::cut_owned;
use super::wit;
use super::wit::types;
use hoth_core::domain::AdapterState;
use hoth_core::domain::Failure;
use hoth_core::domain::FailureClass;
use hoth_core::domain::HttpRequest;
use hoth_core::domain::Method;
use hoth_core::domain::Outcome;
use hoth_core::domain::Progress;
use hoth_core::domain::SendStep;
use hoth_core::domain::Step;
use hoth_core::domain::Target;
use hoth_core::domain::WaitStep;

/// The longest JSON text, in bytes, by the WIT; also the limit of SQS for a
/// whole message.
const JSON_BYTES_MAX: usize = 1 << 20;

/// The deepest nesting in an outcome. Common JSON parsers stop at 128; the
/// message and the array around it take four levels.
const JSON_DEPTH_MAX: usize = 100;

/// The largest state, in bytes, by the WIT. Every message of a waiting job
/// carries it.
const STATE_BYTES_MAX: usize = 64 << 10;

/// The most scopes of one token; real tokens have a handful.
const SCOPES_MAX: usize = 16;

/// The longest scope, in bytes.
const SCOPE_BYTES_MAX: usize = 256;

/// The longest name of an adapter, an operation, a credential or a failure
/// class, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// The most operations, and the most credentials, in a description. HOTH has
/// eight operations.
const NAMES_MAX: usize = 64;

/// The longest message or note for people, in bytes; longer ones are cut.
const MESSAGE_BYTES_MAX: usize = 1_024;

/// The longest reference of the CSP to its work, often a URL, in bytes; longer
/// ones are cut.
const REFERENCE_BYTES_MAX: usize = 2_048;

/// A violation of the contract, as a clause.
pub type Violation = String;

/// Checks a step of `begin` or `resume`. `states` are the versions that
/// `describe` declares.
pub fn step(step: types::Step, states: (u32, u32)) -> Result<Step, Violation> {
    Ok(match step {
        types::Step::Send(types::SendStep { request, state }) => Step::Send(SendStep {
            request: http_request(request)?,
            state: self::state(state, states)?,
        }),
        types::Step::Wait(types::WaitStep { after_ms, state, progress }) => Step::Wait(WaitStep {
            after_ms,
            state: self::state(state, states)?,
            progress: Progress {
                reference: progress.reference.map(|text| cut_owned(text, REFERENCE_BYTES_MAX)),
                note: cut_owned(progress.note, MESSAGE_BYTES_MAX),
            },
        }),
        types::Step::Done(outcome) => Step::Done(self::outcome(outcome)?),
        types::Step::Fail(failure) => Step::Fail(Failure {
            class: failure_class(&failure.class)?,
            message: cut_owned(failure.message, MESSAGE_BYTES_MAX),
            outcome: outcome(failure.outcome)?,
        }),
    })
}

/// Checks the result of `describe`.
pub(super) fn info(info: wit::Info) -> Result<Info, Violation> {
    let wit::Info { name, version, operations, states, credentials } = info;
    short("its name", &name)?;
    short("its version", &version)?;
    names("operation", &operations)?;
    names("credential", &credentials)?;
    if operations.is_empty() {
        return Err("it has no operation".to_owned());
    }
    if states.0 > states.1 {
        return Err(format!("it resumes the states {} to {}, an empty range", states.0, states.1));
    }
    Ok(Info { name, version, operations, states, credentials })
}

fn state(state: types::StateResult, states: (u32, u32)) -> Result<AdapterState, Violation> {
    let types::StateResult { version, bytes } = state;
    at_most("the state has", bytes.len(), STATE_BYTES_MAX)?;
    let (oldest, newest) = states;
    if !(oldest..=newest).contains(&version) {
        return Err(format!(
            "the state has version {version}, and the adapter resumes {oldest} to {newest}"
        ));
    }
    Ok(AdapterState { version, bytes })
}

fn outcome(outcome: types::Outcome) -> Result<Outcome, Violation> {
    let types::Outcome { code, request, response } = outcome;
    if !(200..=599).contains(&code) {
        return Err(format!("the outcome's code is {code}, not 200 to 599"));
    }
    Ok(Outcome {
        code,
        request: json_object("request", request)?,
        response: json_object("response", response)?,
    })
}

fn json_object(field: &str, text: String) -> Result<Box<RawValue>, Violation> {
    // The size first, so that no parser reads more than the limit.
    at_most(&format!("the outcome's {field} has"), text.len(), JSON_BYTES_MAX)?;
    let json = RawValue::from_string(text)
        .map_err(|error| format!("the outcome's {field} is not JSON: {error}"))?;
    // A raw value begins with its first token, because `serde_json` drops the
    // white space around it.
    if !json.get().starts_with('{') {
        return Err(format!("the outcome's {field} is not a JSON object"));
    }
    match incompatible_json(json.get()) {
        Some(what) => Err(format!("the outcome's {field} {what}")),
        None => Ok(json),
    }
}

/// Finds valid JSON (RFC 8259 sections 8.2 and 9) that common parsers refuse: a
/// client could not read the batch of messages with it.
fn incompatible_json(json: &str) -> Option<String> {
    let unit = |escape: &str| {
        let digits = escape.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    // In UTF-8 no other character contains a byte of ASCII, so the scan can go
    // by bytes.
    let bytes = json.as_bytes();
    let (mut at, mut depth, mut in_text) = (0, 0_usize, false);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match (byte, in_text) {
            (b'"', _) => in_text = !in_text,
            (b'{' | b'[', false) => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return Some(format!("is nested deeper than {JSON_DEPTH_MAX} levels"));
                }
            }
            // The JSON is valid, so every closing bracket has an opening one.
            (b'}' | b']', false) => depth -= 1,
            // The JSON is valid, so a backslash in a text begins an escape.
            (b'\\', true) => {
                let escape = &json[at - 1..];
                // Skips the escape without its backslash: a letter, or `u` and
                // four digits, or both halves of a pair with the backslash
                // between.
                at += match unit(escape) {
                    None => 1,
                    Some(0xd800..=0xdbff)
                        if matches!(unit(&escape[6..]), Some(0xdc00..=0xdfff)) =>
                    {
                        11
                    }
                    Some(0xd800..=0xdfff) => {
                        return Some("has half of a surrogate pair, which is no character".into());
                    }
                    Some(_) => 5,
                };
            }
            _ => {}
        }
    }
    None
}

fn failure_class(word: &str) -> Result<FailureClass, Violation> {
    short("the class of the failure", word)?;
    Ok(FailureClass::from_wit(word))
}

fn http_request(request: types::HttpRequest) -> Result<HttpRequest, Violation> {
    let types::HttpRequest { method, target, query, headers, body, credential, scopes, idempotent } =
        request;
    let body_bytes = body.as_ref().map_or(0, Vec::len);
    at_most("the body of the request has", body_bytes, HttpRequest::BODY_BYTES_MAX)?;
    if let Some(name) = &credential {
        short("the name of the credential", name)?;
    }
    if scopes.len() > SCOPES_MAX {
        return Err(format!("the request has {} scopes, more than {SCOPES_MAX}", scopes.len()));
    }
    for scope in &scopes {
        at_most("a scope has", scope.len(), SCOPE_BYTES_MAX)?;
    }
    Ok(HttpRequest {
        method: self::method(method),
        target: self::target(target)?,
        query: pairs("query parameters", query)?,
        headers: pairs("headers", headers)?,
        body: body.map(Bytes::from),
        credential,
        scopes,
        idempotent,
    })
}

fn method(method: types::Method) -> Method {
    match method {
        types::Method::Get => Method::Get,
        types::Method::Head => Method::Head,
        types::Method::Post => Method::Post,
        types::Method::Put => Method::Put,
        types::Method::Patch => Method::Patch,
        types::Method::Delete => Method::Delete,
    }
}

fn target(target: types::Target) -> Result<Target, Violation> {
    let (types::Target::Path(text) | types::Target::Location(text)) = &target;
    at_most("the target of the request has", text.len(), HttpRequest::TARGET_BYTES_MAX)?;
    Ok(match target {
        types::Target::Path(path) => Target::Path(path),
        types::Target::Location(location) => Target::Location(location),
    })
}

fn pairs(what: &str, pairs: Vec<types::PairResult>) -> Result<Vec<(String, String)>, Violation> {
    if pairs.len() > HttpRequest::PAIRS_MAX {
        let (count, most) = (pairs.len(), HttpRequest::PAIRS_MAX);
        return Err(format!("the request has {count} {what}, more than {most}"));
    }
    let bytes = pairs.iter().map(|pair| pair.name.len() + pair.value.len()).sum();
    at_most(&format!("the {what} of the request have"), bytes, HttpRequest::PAIRS_BYTES_MAX)?;
    Ok(pairs.into_iter().map(|pair| (pair.name, pair.value)).collect())
}

fn names(what: &str, names: &[String]) -> Result<(), Violation> {
    if names.len() > NAMES_MAX {
        return Err(format!("it has {} {what}s, more than {NAMES_MAX}", names.len()));
    }
    names.iter().try_for_each(|name| short(&format!("the {what} name"), name))
}

fn short(what: &str, name: &str) -> Result<(), Violation> {
    if name.is_empty() {
        return Err(format!("{what} is empty"));
    }
    at_most(&format!("{what} has"), name.len(), NAME_BYTES_MAX)
}

fn at_most(what: &str, bytes: usize, limit: usize) -> Result<(), Violation> {
    if bytes > limit {
        return Err(format!("{what} {bytes} bytes, more than {limit}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(code: u16, request: &str, response: &str) -> types::Outcome {
        types::Outcome { code, request: request.to_owned(), response: response.to_owned() }
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
            credential: None,
            scopes: vec![],
            idempotent: true,
        }
    }

    fn pairs(count: usize, value_bytes: usize) -> Vec<types::PairResult> {
        let pair = types::PairResult { name: "n".to_owned(), value: "v".repeat(value_bytes) };
        vec![pair; count]
    }

    fn send(request: types::HttpRequest) -> types::Step {
        types::Step::Send(types::SendStep { request, state: state(1, 0) })
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
        let wait = |state| {
            let progress = types::Progress { reference: None, note: String::new() };
            types::Step::Wait(types::WaitStep { after_ms: None, state, progress })
        };
        check(wait(state(1, 64 << 10)), Ok(()));
        check(wait(state(3, 0)), Ok(()));
        check(wait(state(1, 65_537)), Err("the state has 65537 bytes, more than 65536"));
        check(wait(state(4, 0)), Err("the state has version 4, and the adapter resumes 1 to 3"));
        check(wait(state(0, 0)), Err("the state has version 0, and the adapter resumes 1 to 3"));
    }

    #[test]
    fn a_request_has_bounds() {
        check(send(request()), Ok(()));
        check(send(types::HttpRequest { headers: pairs(64, 255), ..request() }), Ok(()));
        check(
            send(types::HttpRequest { headers: pairs(65, 1), ..request() }),
            Err("the request has 65 headers, more than 64"),
        );
        check(
            send(types::HttpRequest { headers: pairs(64, 256), ..request() }),
            Err("the headers of the request have 16448 bytes, more than 16384"),
        );
        check(
            send(types::HttpRequest { query: pairs(65, 1), ..request() }),
            Err("the request has 65 query parameters, more than 64"),
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
        check(
            send(types::HttpRequest { credential: Some(String::new()), ..request() }),
            Err("the name of the credential is empty"),
        );
        check(
            send(types::HttpRequest { scopes: vec!["s".to_owned(); 17], ..request() }),
            Err("the request has 17 scopes, more than 16"),
        );
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let failure = types::Failure {
            class: "from-the-future".to_owned(),
            message: "ä".repeat(1_000),
            outcome: outcome(400, "{}", "{}"),
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
            credentials: vec![],
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
        ] {
            let wrong = info(wrong).unwrap_err();
            assert!(wrong.contains(expected), "{wrong}");
        }
    }
}
