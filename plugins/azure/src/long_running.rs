//! Long-running operations of Azure Resource Manager.
//!
//! An operation shows its state in one of four forms. The order in which they
//! are tried, and what each means, is that of azure-core's pollers
//! (`base_polling.py` and azure-mgmt-core's `arm_polling.py`).

use hoth_adapter::Answer;
use hoth_adapter::Failure;
use hoth_adapter::Method;
use hoth_adapter::Object;
use hoth_adapter::Request;
use serde::Deserialize;
use serde::Serialize;

use crate::Work;
use crate::arm;
use crate::arm::Error;
use crate::arm::part;

/// The place where an operation that a `PUT` has started shows its state. The
/// fourth form has none: there the first response is the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Watch {
    /// The URL of `Azure-AsyncOperation`, whose `status` is the state.
    Operation(String),
    /// The URL of `Location`, which answers 202 until the operation has ended.
    Location(String),
    /// The resource itself, whose `properties.provisioningState` is the state.
    Resource,
}

/// The progress of an operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    Running(Watch),
    /// Succeeded, with the resource if the response has it.
    Succeeded(Option<Object>),
    /// Failed or cancelled.
    Failed {
        code: String,
        message: String,
    },
}

impl Watch {
    /// Returns the request for the state. `resource` is that for the resource.
    pub fn request(&self, work: &Work<'_>, resource: Request) -> Request {
        match self {
            Self::Operation(url) | Self::Location(url) => arm::location(work, Method::Get, url),
            Self::Resource => resource,
        }
    }

    /// Returns the name of the work for operators.
    pub fn reference<'a>(&'a self, resource: &'a str) -> &'a str {
        match self {
            Self::Operation(url) | Self::Location(url) => url,
            Self::Resource => resource,
        }
    }

    /// Returns the failure of a job whose poll was answered with an error. The
    /// page of `Location` answers the error of the operation itself, unless the
    /// error is about the poll.
    pub fn failure(&self, what: &str, error: &Error) -> Failure {
        let is_about_the_poll = matches!(error.status, 401 | 403 | 404 | 408 | 425 | 429 | 500..);
        match self {
            Self::Location(_) if !is_about_the_poll => failed(what, &error.code, &error.message),
            Self::Operation(_) | Self::Location(_) | Self::Resource => {
                error.clone().into_failure().while_polling()
            }
        }
    }
}

/// Reads the response to the `PUT` that starts an operation.
///
/// # Errors
///
/// [`Failure`] of the class `invalid-answer`.
pub fn started(answer: &Answer) -> Result<Progress, Failure> {
    if let Some(url) = answer.header("azure-asyncoperation") {
        return Ok(Progress::Running(Watch::Operation(url.to_owned())));
    }
    if let Some(url) = answer.header("location") {
        return Ok(Progress::Running(Watch::Location(url.to_owned())));
    }
    let body = arm::body(answer)?;
    Ok(match (state_of_resource(&body), answer.status) {
        (_, 202) | (None, 201) => Progress::Running(Watch::Resource),
        (None, _) => Progress::Succeeded(resource(body)),
        (Some(state), _) => progress(&state, Watch::Resource, body),
    })
}

/// Reads the response to a request for the state.
///
/// # Errors
///
/// [`Failure`] of the class `invalid-answer`.
pub fn polled(watch: &Watch, answer: &Answer) -> Result<Progress, Failure> {
    let body = arm::body(answer)?;
    // A server may move the page.
    let url = |header: &str, url: &str| answer.header(header).unwrap_or(url).to_owned();
    match watch {
        Watch::Operation(old) => {
            let watch = Watch::Operation(url("azure-asyncoperation", old));
            let state = arm::text(&body, "status")?.to_owned();
            Ok(match progress(&state, watch, body) {
                // The page is not the resource.
                Progress::Succeeded(_) => Progress::Succeeded(None),
                progress @ (Progress::Running(_) | Progress::Failed { .. }) => progress,
            })
        }
        Watch::Location(old) if answer.status == 202 => {
            Ok(Progress::Running(Watch::Location(url("location", old))))
        }
        Watch::Location(_) => Ok(Progress::Succeeded(resource(body))),
        Watch::Resource if body.is_empty() => {
            Err(Failure::invalid_answer("Azure answered no resource"))
        }
        Watch::Resource => Ok(match state_of_resource(&body) {
            Some(state) => progress(&state, Watch::Resource, body),
            None => Progress::Succeeded(Some(body)),
        }),
    }
}

fn state_of_resource(body: &Object) -> Option<String> {
    part(body, "properties")?.text("provisioningState").map(str::to_owned)
}

fn resource(body: Object) -> Option<Object> {
    Some(body).filter(|body| !body.is_empty())
}

/// Returns the progress that a state tells. Services write it in different
/// cases.
fn progress(state: &str, watch: Watch, body: Object) -> Progress {
    match state.to_ascii_lowercase().as_str() {
        "succeeded" => Progress::Succeeded(resource(body)),
        "failed" | "canceled" | "cancelled" => {
            let error = part(&body, "error");
            let error = error.or_else(|| part(part(&body, "properties")?, "error"));
            let text = |name: &str| error.and_then(|error| error.text(name)).map(str::to_owned);
            Progress::Failed {
                code: text("code").unwrap_or_else(|| state.to_owned()),
                message: text("message").unwrap_or_default(),
            }
        }
        _ => Progress::Running(watch),
    }
}

/// Returns the failure of a job whose operation has failed; `what` did not come
/// about.
pub fn failed(what: &str, code: &str, message: &str) -> Failure {
    let sentence = format!("Azure did not create the {what}: {code}");
    Failure::job_failed(sentence, arm::described(code, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(progress: Result<Progress, Failure>) -> String {
        match progress {
            Ok(Progress::Running(watch)) => format!("running {watch:?}"),
            Ok(Progress::Succeeded(body)) => {
                format!("succeeded {}", body.map_or("-".to_owned(), |body| body.to_string()))
            }
            Ok(Progress::Failed { code, message }) => format!("failed {code} {message}"),
            Err(failure) => failure.message,
        }
    }

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let answer = Answer::new(status, body);
        headers.iter().fold(answer, |answer, (name, value)| answer.header_added(name, value))
    }

    const STATE: &str = r#"{"properties":{"provisioningState":"STATE"}}"#;

    #[test]
    fn a_start_selects_the_form() {
        let both = [("azure-asyncoperation", "a"), ("location", "l")];
        for (status, headers, body, expected) in [
            (202, &both[..], "", r#"running Operation("a")"#),
            (200, &both[..], r#"{"id":"1"}"#, r#"running Operation("a")"#),
            (201, &both[1..], "", r#"running Location("l")"#),
            (202, &[], "", "running Resource"),
            (201, &[], r#"{"id":"1"}"#, "running Resource"),
            (201, &[], &STATE.replace("STATE", "Accepted"), "running Resource"),
            (200, &[], &STATE.replace("STATE", "running"), "running Resource"),
            (200, &[], r#"{"id":"1"}"#, r#"succeeded {"id":"1"}"#),
            (204, &[], "", "succeeded -"),
            (
                201,
                &[],
                r#"{"properties":{"provisioningState":"SUCCEEDED"}}"#,
                r#"succeeded {"properties":{"provisioningState":"SUCCEEDED"}}"#,
            ),
            (200, &[], &STATE.replace("STATE", "failed"), "failed failed "),
            (200, &[], "<html>", "the CSP answered 200 with a body that is not a JSON object"),
        ] {
            assert_eq!(shown(started(&answer(status, headers, body))), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_poll_reads_the_form() {
        let operation = Watch::Operation("a".to_owned());
        let location = Watch::Location("l".to_owned());
        let resource = Watch::Resource;
        let (moved, none) = ([("azure-asyncoperation", "b"), ("location", "m")], []);
        for (watch, status, headers, body, expected) in [
            (&operation, 200, &none[..], r#"{"status":"InProgress"}"#, r#"running Operation("a")"#),
            (&operation, 202, &moved[..], r#"{"status":"Running"}"#, r#"running Operation("b")"#),
            (&operation, 200, &none[..], r#"{"status":"sUCCEEDED"}"#, "succeeded -"),
            (&operation, 200, &none[..], "{}", "the answer of Azure lacks status"),
            (
                &operation,
                200,
                &none[..],
                r#"{"status":"Failed","error":{"code":"Quota","message":"no room"}}"#,
                "failed Quota no room",
            ),
            (&operation, 200, &none[..], r#"{"status":"CANCELED"}"#, "failed CANCELED "),
            (&location, 202, &none[..], "", r#"running Location("l")"#),
            (&location, 202, &moved[..], "", r#"running Location("m")"#),
            (&location, 200, &none[..], r#"{"id":"1"}"#, r#"succeeded {"id":"1"}"#),
            (&location, 204, &none[..], "", "succeeded -"),
            (&resource, 200, &none[..], "", "Azure answered no resource"),
            (&resource, 200, &none[..], r#"{"id":"1"}"#, r#"succeeded {"id":"1"}"#),
            (&resource, 200, &none[..], &STATE.replace("STATE", "Accepted"), "running Resource"),
            (
                &resource,
                200,
                &none[..],
                r#"{"properties":{"provisioningState":"failed","error":{"code":"X","message":"y"}}}"#,
                "failed X y",
            ),
        ] {
            let polled = polled(watch, &answer(status, headers, body));
            assert_eq!(shown(polled), expected, "{watch:?} {status} {body}");
        }
    }
}
