//! The output of `hoth adapter run`: each step, as text or as JSON.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use serde_json::json;
use serde_json::value::RawValue;

use super::super::say;
use hoth_core::domain::AdapterState;
use hoth_core::domain::CredentialChoice;
use hoth_core::domain::CredentialUse;
use hoth_core::domain::EndpointPath;
use hoth_core::domain::Event;
use hoth_core::domain::HttpRequest;
use hoth_core::domain::HttpResponse;
use hoth_core::domain::QueuedOutcome;
use hoth_core::domain::Resumption;
use hoth_core::domain::Retry;
use hoth_core::domain::Step;
use hoth_core::domain::Target;
use hoth_core::domain::WaitPurpose;

/// Characters of a body or state that are printed as text. JSON output is
/// complete.
const TEXT_CHARS_MAX: usize = 2_000;

/// A printer to standard output.
pub struct Printer {
    /// `true` to print one JSON object per line.
    pub json: bool,
}

impl Printer {
    /// Prints the start of a run.
    pub fn run_begins(&self, nth: u32, resumption: Option<&Resumption>) {
        let what = match resumption {
            None => "begin",
            Some(_) => "resume",
        };
        self.print(&json!({"run": nth, "call": what}), || format!("run {nth}: {what}"));
    }

    /// Prints a step.
    pub fn step(&self, step: &Step) {
        match step {
            Step::Send(send) => self.print(
                &json!({
                    "step": "send", "request": request(&send.request), "state": state(&send.state),
                    "afterMs": send.after_ms
                }),
                || {
                    let pause = send.after_ms.map(|ms| format!("\n          after {ms} ms"));
                    let (lines, pause) = (request_lines(&send.request), pause.unwrap_or_default());
                    format!("  send    {lines}{pause}\n{}", indented_state(&send.state))
                },
            ),
            Step::Wait(wait) => self.print(
                &json!({
                    "step": "wait", "afterMs": wait.after_ms, "purpose": wait.purpose.as_str(),
                    "note": wait.progress.note, "reference": wait.progress.reference,
                    "details": wait.progress.details, "state": state(&wait.state)
                }),
                || {
                    let reference = wait.progress.reference.as_deref();
                    let reference = reference.map(|r| format!(" ({r})")).unwrap_or_default();
                    let (purpose, note) = (wait.purpose.as_str(), &wait.progress.note);
                    let details = wait.progress.details.as_deref().map(RawValue::get);
                    let details = details.map(|it| format!("\n          {it}")).unwrap_or_default();
                    let line = format!("  wait    {purpose}: {note}{reference}{details}");
                    format!("{line}\n{}", indented_state(&wait.state))
                },
            ),
            Step::Done(outcome) => self
                .print(&json!({"step": "done", "code": outcome.code}), || {
                    format!("  done    {}", outcome.code)
                }),
            Step::Fail(failure) => {
                let class = failure.class.as_str();
                self.print(
                    &json!({
                        "step": "fail", "class": class, "message": failure.message,
                        "code": failure.outcome.code
                    }),
                    || format!("  fail    {class}: {}", failure.message),
                );
            }
        }
    }

    /// Prints the response to a request, or its failure.
    pub fn event(&self, event: &Event) {
        match event {
            Event::Response(answer) => self
                .print(&json!({"event": "response", "response": response(answer)}), || {
                    format!("  answer  {}", response_lines(answer))
                }),
            Event::TransportFailure(failure) => self.print(
                &json!({
                    "event": "transport-failure", "code": failure.code.as_str(),
                    "message": failure.message, "sent": failure.sent,
                    "lastResponse": failure.last_response.as_ref().map(response)
                }),
                || {
                    let sent = if failure.sent { "may have arrived" } else { "was not sent" };
                    let line = format!("  answer  none: {}; the request {sent}", failure.message);
                    match &failure.last_response {
                        Some(last) => {
                            format!("{line}\n          before it {}", response_lines(last))
                        }
                        None => line,
                    }
                },
            ),
            Event::Timer => self.print(&json!({"event": "timer"}), || "  timer".to_owned()),
        }
    }

    /// Prints that the job waits for the time that is `left`.
    pub fn pause(&self, resumption: &Resumption, left: Duration) {
        let checkpoint = resumption.purpose() == WaitPurpose::Checkpoint;
        self.print(
            &json!({
                "pauseMs": u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
                "checkpoint": checkpoint
            }),
            || match checkpoint {
                true => "checkpoint: steps before it are not repeated".to_owned(),
                false => format!("the job waits for {left:?}: {}", resumption.progress.note),
            },
        );
    }

    /// Prints the message that ServiceNow would get.
    pub fn message(&self, outcome: &QueuedOutcome) {
        self.print(&Message { message: &outcome.message }, || {
            format!("message for ServiceNow:\n{}", indented(outcome.message.get()))
        });
    }

    /// Prints that the job has not finished.
    pub fn stopped(&self, why: &str) {
        self.print(&json!({"stopped": why}), || format!("stopped: {why}"));
    }

    fn print(&self, json: &impl Serialize, text: impl FnOnce() -> String) {
        match self.json {
            true => say(&serde_json::to_string(json).unwrap_or_default()),
            false => say(&text()),
        }
    }
}

/// A message whose numbers are printed as they are written.
#[derive(Serialize)]
struct Message<'a> {
    message: &'a RawValue,
}

/// Indents JSON, and keeps each token as it is written.
fn indented(json: &str) -> String {
    let (mut text, mut depth) = (String::with_capacity(json.len() * 2), 0_usize);
    // Not parsed and printed again, because that would change the spelling of
    // numbers and strings.
    let (mut in_string, mut escaped) = (false, false);
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", depth));
    };
    for (at, char) in json.char_indices() {
        match char {
            _ if in_string => {
                text.push(char);
                in_string = escaped || char != '"';
                escaped = char == '\\' && !escaped;
            }
            '{' | '[' if json[at + 1..].trim_start().starts_with(['}', ']']) => text.push(char),
            '{' | '[' => {
                text.push(char);
                depth += 1;
                line(&mut text, depth);
            }
            '}' | ']' if text.ends_with(['{', '[']) => text.push(char),
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut text, depth);
                text.push(char);
            }
            ',' => {
                text.push(char);
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            '"' => {
                text.push(char);
                in_string = true;
            }
            char if char.is_ascii_whitespace() => {}
            char => text.push(char),
        }
    }
    text
}

fn request_lines(request: &HttpRequest) -> String {
    let mut line = format!("{} {}", method(request), request.target);
    for (nth, (name, value)) in request.query.iter().enumerate() {
        let mark = if nth == 0 { '?' } else { '&' };
        line.push_str(&format!("{mark}{name}={value}"));
    }
    for (name, value) in &request.headers {
        line.push_str(&format!("\n          {name}: {value}"));
    }
    if !request.scopes.is_empty() {
        line.push_str(&format!("\n          scopes {}", request.scopes.join(" ")));
    }
    if request.credential != CredentialChoice::Default {
        line.push_str(&format!("\n          credential {}", request.credential));
    }
    match request.retry {
        Retry::Safe => {}
        Retry::Unsent => line.push_str("\n          repeated only if nothing was sent"),
        Retry::Never => line.push_str("\n          never repeated"),
    }
    if let Some(body) = &request.body {
        line.push_str(&format!("\n          {}", cut(body)));
    }
    line
}

fn response_lines(answer: &HttpResponse) -> String {
    let mut line = answer.status.to_string();
    for (name, value) in &answer.headers {
        line.push_str(&format!("\n          {name}: {value}"));
    }
    if !answer.body.is_empty() {
        line.push_str(&format!("\n          {}", cut(&answer.body)));
    }
    line
}

fn indented_state(state: &AdapterState) -> String {
    format!("          state {}: {}", state.version, cut(&state.bytes))
}

fn cut(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.char_indices().nth(TEXT_CHARS_MAX) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], bytes.len()),
        None => text.into_owned(),
    }
}

fn request(request: &HttpRequest) -> Value {
    let (kind, target) = match &request.target {
        Target::Path(path) => ("path", json!(path)),
        Target::Endpoint(EndpointPath { endpoint, path, parameters }) => {
            ("endpoint", json!({"endpoint": endpoint, "path": path, "parameters": parameters}))
        }
        Target::Location(location) => ("location", json!(location)),
    };
    let credential = match &request.credential {
        CredentialChoice::Default => json!("default"),
        CredentialChoice::None => json!("none"),
        CredentialChoice::Named(CredentialUse { name, parameters }) => {
            json!({"name": name, "parameters": parameters})
        }
    };
    json!({
        "method": method(request), kind: target, "query": request.query,
        "headers": request.headers, "body": request.body.as_deref().map(String::from_utf8_lossy),
        "credential": credential, "scopes": request.scopes, "retry": request.retry.as_str()
    })
}

fn response(answer: &HttpResponse) -> Value {
    json!({
        "status": answer.status, "url": answer.url, "tries": answer.tries,
        "headers": answer.headers,
        "body": String::from_utf8_lossy(&answer.body)
    })
}

fn state(state: &AdapterState) -> Value {
    json!({"version": state.version, "bytes": String::from_utf8_lossy(&state.bytes)})
}

fn method(request: &HttpRequest) -> String {
    format!("{:?}", request.method).to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::indented;

    #[test]
    fn json_is_indented_and_keeps_its_tokens() {
        let json = r#"{"z":1.10,"a":[{},[ ],"x,{\"\\",null],"e":""}"#;
        let lines = [
            r#"{"#,
            r#"  "z": 1.10,"#,
            r#"  "a": ["#,
            r#"    {},"#,
            r#"    [],"#,
            r#"    "x,{\"\\","#,
            r#"    null"#,
            r#"  ],"#,
            r#"  "e": """#,
            r#"}"#,
        ];
        assert_eq!(indented(json), lines.join("\n"));
        assert_eq!(indented(r#""""#), r#""""#);
    }
}
