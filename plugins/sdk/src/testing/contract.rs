//! Checks of steps against the contract, as the host makes them.

use std::fmt::Write as _;

use super::run;
use crate::Credential;
use crate::Object;
use crate::wit::hoth::adapter::types;

/// The bounds of `wit/v0.2/types.wit`.
const JSON_BYTES_MAX: usize = 1 << 20;
const BODY_BYTES_MAX: usize = 1 << 20;
const STATE_BYTES_MAX: usize = 256 << 10;
const DETAILS_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 16 << 10;

const CLASSES: [&str; 6] =
    ["refused", "unavailable", "not-found", "invalid-answer", "unsupported", "job-failed"];

/// Panics if the step breaks the contract.
#[track_caller]
pub fn check(step: &types::Step, states: (u32, u32)) {
    match step {
        types::Step::Send(types::SendStep { request, state, .. }) => {
            check_state(state, states);
            check_request(request);
        }
        types::Step::Wait(types::WaitStep { state, progress, .. }) => {
            check_state(state, states);
            assert!(!progress.note.contains('\n'), "a note is one line: {:?}", progress.note);
            let details = progress.details.len();
            assert!(details <= DETAILS_BYTES_MAX, "the details have {details} bytes");
        }
        types::Step::Done(outcome) => check_outcome(outcome),
        types::Step::Fail(types::Failure { class, message, outcome, .. }) => {
            assert!(CLASSES.contains(&class.as_str()), "there is no class {class:?}");
            assert!(!message.is_empty(), "a failure has a message");
            assert!(outcome.code >= 400, "a failure has a code from 400, not {}", outcome.code);
            check_outcome(outcome);
        }
        types::Step::Other(other) => panic!("no host knows a step {:?}", other.name),
    }
}

/// Panics if a text is not a manifest. Hosts ignore unknown keys, so a host does
/// not notice a misspelt one.
#[track_caller]
pub fn check_manifest(text: &str) {
    const KEYS: [&str; 6] =
        ["endpoints", "credentials", "settings", "retryAfterHeaders", "personalKeys", "secretKeys"];
    const NEED_KEYS: [&str; 3] = ["description", "parameters", "optional"];
    let manifest = Object::parse(text).expect("the manifest is a JSON object");
    for (key, value) in manifest.iter() {
        assert!(KEYS.contains(&key), "there is no key {key:?} in a manifest");
        if !KEYS[..2].contains(&key) {
            continue;
        }
        let needs = value.as_object().unwrap_or_else(|| panic!("{key} is not an object"));
        for (name, need) in needs.iter() {
            let need = need.as_object().unwrap_or_else(|| panic!("{name} is not an object"));
            for (key, _) in need.iter() {
                assert!(NEED_KEYS.contains(&key), "there is no key {key:?} in {name}");
            }
        }
    }
}

#[track_caller]
fn check_outcome(outcome: &types::Outcome) {
    assert!((200..=599).contains(&outcome.code), "a code is 200 to 599, not {}", outcome.code);
    for (name, json) in [("request", &outcome.request), ("response", &outcome.response)] {
        assert!(json.len() <= JSON_BYTES_MAX, "the {name} has {} bytes", json.len());
        // A response of a CSP may have the greatest nesting that the parser
        // accepts, and one level deeper is still JSON.
        let object = serde_json::from_str::<&serde_json::value::RawValue>(json);
        let object = object.is_ok_and(|raw| raw.get().starts_with('{'));
        assert!(object, "the {name} is not a JSON object: {json}");
    }
}

#[track_caller]
fn check_state(state: &types::State, (oldest, newest): (u32, u32)) {
    let types::State { version, bytes } = state;
    assert!((oldest..=newest).contains(version), "a state of version {version} is not resumed");
    assert!(bytes.len() <= STATE_BYTES_MAX, "the state has {} bytes", bytes.len());
}

#[track_caller]
fn check_request(request: &types::HttpRequest) {
    if let types::Target::Path(path) | types::Target::Endpoint(types::EndpointPath { path, .. }) =
        &request.target
    {
        let plain =
            |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%/".contains(&byte);
        assert!(path.bytes().all(plain), "the path is not percent-encoded: {path:?}");
        let segments: Vec<&str> = path.split('/').collect();
        assert!(
            path == "/" || segments.len() > 1 && segments[0].is_empty(),
            "the path does not begin with a slash: {path:?}"
        );
        assert!(
            path == "/" || segments[1..].iter().all(|segment| !["", ".", ".."].contains(segment)),
            "the path has an empty or dot segment: {path:?}"
        );
    }
    let body = request.body.as_ref().map_or(0, Vec::len);
    assert!(body <= BODY_BYTES_MAX, "the body has {body} bytes");
    assert!(request.headers.len() <= HEADERS_MAX, "{} headers", request.headers.len());
    let headers = &request.headers;
    let bytes: usize = headers.iter().map(|pair| pair.name.len() + pair.value.len()).sum();
    assert!(bytes <= HEADER_BYTES_MAX, "the headers have {bytes} bytes");
    for types::Pair { name, value } in headers {
        let reserved =
            ["authorization", "connection", "content-length", "cookie", "date", "host", "x-date"];
        let lower = name.to_ascii_lowercase();
        assert!(!reserved.contains(&lower.as_str()), "the header {name} is the host's to set");
        assert!(!value.contains(['\r', '\n', '\0']), "the header {name} has a line break");
    }
}

/// Formats a step as lines.
pub fn lines(step: &types::Step) -> String {
    let mut text = String::new();
    write(step, &mut text).expect("a text takes all that is written");
    text
}

fn write(step: &types::Step, text: &mut String) -> std::fmt::Result {
    match step {
        types::Step::Send(types::SendStep { request, state, after_ms, .. }) => {
            let sent = run::sent(request);
            write!(text, "send {}", sent.line())?;
            if let Some(after) = after_ms {
                write!(text, "\n  after: {after} ms")?;
            }
            for (name, value) in &sent.headers {
                write!(text, "\n  {name}: {value}")?;
            }
            write!(text, "\n  scopes: {}", sent.scopes.join(" "))?;
            if sent.credential != Credential::Default {
                write!(text, "\n  credential: {:?}", sent.credential)?;
            }
            if sent.retry != "safe" {
                write!(text, "\n  retry: {}", sent.retry)?;
            }
            if let Some(body) = &sent.body {
                write!(text, "\n  body: {body}")?;
            }
            write_state(state, text)
        }
        types::Step::Wait(types::WaitStep { after_ms, purpose, state, progress, .. }) => {
            write!(text, "{purpose}")?;
            if let Some(after) = after_ms {
                write!(text, " after {after} ms")?;
            }
            write!(text, ": {}", progress.note)?;
            if let Some(reference) = &progress.reference {
                write!(text, "\n  reference: {reference}")?;
            }
            if progress.details != "{}" {
                write!(text, "\n  details: {}", progress.details)?;
            }
            write_state(state, text)
        }
        types::Step::Done(outcome) => {
            write!(text, "done {}", outcome.code)?;
            write_outcome(outcome, text)
        }
        types::Step::Fail(types::Failure { class, message, outcome, .. }) => {
            write!(text, "fail {} {class}: {message}", outcome.code)?;
            write_outcome(outcome, text)
        }
        types::Step::Other(other) => write!(text, "{} {}", other.name, other.value),
    }
}

fn write_outcome(outcome: &types::Outcome, text: &mut String) -> std::fmt::Result {
    write!(text, "\n  request: {}\n  response: {}", outcome.request, outcome.response)
}

fn write_state(state: &types::State, text: &mut String) -> std::fmt::Result {
    write!(text, "\n  state {}: {}", state.version, String::from_utf8_lossy(&state.bytes))
}
