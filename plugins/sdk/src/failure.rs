//! Failures of jobs.

use crate::Answer;
use crate::NoAnswer;
use crate::Object;
use crate::json::WrongShape;

/// The class of a failure, which determines the host's decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The CSP refused. Final.
    Refused,
    /// There is no usable response, and a later attempt may get one. After a
    /// wait, the host polls again; otherwise, it reports the failure.
    Unavailable,
    /// The CSP does not know the job. After a wait, the host polls again, until
    /// the failure has occurred five times in a row.
    NotFound,
    /// The CSP broke its own rules. Final.
    InvalidAnswer,
    /// The CSP lacks the operation, or the request lacks a value that the CSP
    /// needs. Final.
    Unsupported,
    /// The CSP accepted the work and then failed. Final; the operator's
    /// `async_failure_code` becomes the code.
    JobFailed,
}

impl Class {
    /// Returns the name of the class in the WIT.
    pub fn word(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::NotFound => "not-found",
            Self::InvalidAnswer => "invalid-answer",
            Self::Unsupported => "unsupported",
            Self::JobFailed => "job-failed",
        }
    }
}

/// The failure of a job, with the outcome for ServiceNow.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a failure must be returned"]
pub struct Failure {
    pub class: Class,
    /// A sentence for a person, without secrets and business data.
    pub message: String,
    /// The HTTP status for ServiceNow, from 400.
    pub code: u16,
    /// The request to the CSP; `None` stands for the result of
    /// [`Adapter::asked`](crate::Adapter::asked).
    pub request: Option<Object>,
    pub response: Object,
}

impl Failure {
    /// Creates the failure of a job that the CSP refused with `code`.
    pub fn refused(code: u16, response: Object) -> Self {
        Self::new(Class::Refused, code, format!("the CSP answered {code}"), response)
    }

    /// Creates the failure of a job that the adapter refuses on the CSP's
    /// behalf: `message` is also the `details`.
    pub fn refused_because(code: u16, message: impl Into<String>) -> Self {
        Self::with_details(Class::Refused, code, message)
    }

    /// Creates the failure of a job without a usable response. `message`
    /// becomes the `details` of the outcome. Codes under 500 become 502.
    pub fn unavailable(code: u16, message: impl Into<String>) -> Self {
        Self::new(Class::Unavailable, code, message, Object::new())
    }

    /// Creates the failure of a job whose CSP broke its own rules: code 502,
    /// and `message` as the `details`.
    pub fn invalid_answer(message: impl Into<String>) -> Self {
        Self::with_details(Class::InvalidAnswer, 502, message)
    }

    /// Creates the failure of a job that the CSP does not support: code 400,
    /// and `message` as the `details`.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::with_details(Class::Unsupported, 400, message)
    }

    /// Creates the failure of a job that the CSP accepted and then failed.
    pub fn job_failed(message: impl Into<String>, response: Object) -> Self {
        Self::new(Class::JobFailed, 500, message, response)
    }

    /// Creates a failure caused by the adapter or the configuration, rather
    /// than by the CSP or the request: code 500, and `message` as the
    /// `details`.
    pub fn broken(message: impl Into<String>) -> Self {
        Self::with_details(Class::Unsupported, 500, message)
    }

    /// Interprets a response without success as most APIs define it:
    ///
    /// | status | class | code | response |
    /// |---|---|---|---|
    /// | 4xx | refused | the status | the body, see [`Answer::object_or_details`] |
    /// | 5xx | unavailable | the status | the body, where it is a JSON object |
    /// | other | invalid-answer | 502 | `details` that name the status, and the body as `cspResponse` |
    pub fn of(answer: &Answer) -> Self {
        let status = answer.status;
        match status {
            400..=499 => Self::refused(status, answer.object_or_details()),
            500..=599 => {
                let message = format!("the CSP answered {status}");
                Self::unavailable(status, message).with_response(object_or_empty(answer))
            }
            _ => {
                let message = format!("the CSP answered {status}, which its API does not define");
                Self::invalid_answer(message).with_csp_response(answer)
            }
        }
    }

    /// Interprets the response to a poll; see [`Self::while_polling`].
    pub fn of_poll(answer: &Answer) -> Self {
        Self::of(answer).while_polling()
    }

    /// Reinterprets the failure of a poll for work that the CSP has accepted.
    /// The host polls again if the CSP does not know the job, is too busy, or
    /// refuses the token this time. A refusal with code 404 becomes
    /// `not-found`, one with 401, 408, 425 or 429 `unavailable`.
    pub fn while_polling(self) -> Self {
        match (self.class, self.code) {
            (Class::Refused, 404) => Self { class: Class::NotFound, ..self },
            (Class::Refused, 401 | 408 | 425 | 429) => Self { class: Class::Unavailable, ..self },
            _ => self,
        }
    }

    /// Replaces the response.
    pub fn with_response(self, response: Object) -> Self {
        Self { response, ..self }
    }

    /// Adds the body of `answer` to the response as `cspResponse`, if the body
    /// is a JSON object.
    pub fn with_csp_response(mut self, answer: &Answer) -> Self {
        let body = object_or_empty(answer);
        if !body.is_empty() {
            self.response.set("cspResponse", body);
        }
        self
    }

    /// Replaces the code.
    pub fn with_code(self, code: u16) -> Self {
        Self { code, ..self }
    }

    /// Sets the request to the CSP, if it differs from the result of
    /// [`Adapter::asked`](crate::Adapter::asked).
    pub fn about(self, request: Object) -> Self {
        Self { request: Some(request), ..self }
    }

    fn new(class: Class, code: u16, message: impl Into<String>, response: Object) -> Self {
        Self { class, message: message.into(), code, request: None, response }
    }

    fn with_details(class: Class, code: u16, message: impl Into<String>) -> Self {
        let message = message.into();
        let response = Object::new().with("details", &message);
        Self::new(class, code, message, response)
    }
}

/// Converts to `unavailable`, with the host's message. The code is that of the
/// last response if it was 5xx, 504 after a timeout, and 502 otherwise.
impl From<NoAnswer> for Failure {
    fn from(none: NoAnswer) -> Self {
        let last = none.last.as_ref();
        let code = match (last.map(|answer| answer.status), none.code.as_str()) {
            (Some(status @ 500..=599), _) => status,
            (_, "timeout") => 504,
            _ => 502,
        };
        let response = last.map(object_or_empty).unwrap_or_default();
        Self::unavailable(code, none.message).with_response(response)
    }
}

/// Converts to `unsupported`: the request does not match the operation.
impl From<WrongShape> for Failure {
    fn from(wrong: WrongShape) -> Self {
        Self::unsupported(format!("the request cannot be read: {wrong}"))
    }
}

fn object_or_empty(answer: &Answer) -> Object {
    answer.object().map(Object::into_camel_case).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(failure: &Failure) -> String {
        format!(
            "{} {} {} | {}",
            failure.class.word(),
            failure.code,
            failure.response,
            failure.message
        )
    }

    #[track_caller]
    fn check(status: u16, body: &str, first: &str, poll: &str) {
        let answer = Answer::new(status, body);
        assert_eq!(line(&Failure::of(&answer)), first);
        assert_eq!(line(&Failure::of_poll(&answer)), poll);
    }

    #[test]
    fn a_status_determines_the_failure_class() {
        let refused = r#"refused 403 {"aB":1} | the CSP answered 403"#;
        check(403, r#"{"a_b":1}"#, refused, refused);
        check(
            401,
            "",
            r#"refused 401 {"details":""} | the CSP answered 401"#,
            r#"unavailable 401 {"details":""} | the CSP answered 401"#,
        );
        check(
            404,
            "gone",
            r#"refused 404 {"details":"gone"} | the CSP answered 404"#,
            r#"not-found 404 {"details":"gone"} | the CSP answered 404"#,
        );
        check(
            429,
            "",
            r#"refused 429 {"details":""} | the CSP answered 429"#,
            r#"unavailable 429 {"details":""} | the CSP answered 429"#,
        );
        let unavailable = r#"unavailable 503 {"aB":1} | the CSP answered 503"#;
        check(503, r#"{"a_b":1}"#, unavailable, unavailable);
        let silent = "unavailable 500 {} | the CSP answered 500";
        check(500, "<html>", silent, silent);
        for status in [201, 204, 302, 600, 999] {
            let odd = format!(
                "invalid-answer 502 {{\"details\":\"the CSP answered {status}, which its API does not define\"}} \
                 | the CSP answered {status}, which its API does not define"
            );
            check(status, "", &odd, &odd);
        }
        let odd = Failure::of(&Answer::new(201, r#"{"portfolio_id":"p"}"#));
        assert!(odd.response.to_string().ends_with(r#","cspResponse":{"portfolioId":"p"}}"#));
    }

    #[test]
    fn a_refusal_of_the_adapter_states_its_reason() {
        let failure = Failure::refused_because(409, "the name is taken");
        let expected = r#"refused 409 {"details":"the name is taken"} | the name is taken"#;
        assert_eq!(line(&failure), expected);
    }

    #[test]
    fn without_a_response_the_last_one_counts() {
        let none = |code: &str, last: Option<(u16, &str)>| {
            line(&Failure::from(NoAnswer {
                code: code.to_owned(),
                message: "no answer".to_owned(),
                sent: true,
                last: last.map(|(status, body)| Answer::new(status, body)),
            }))
        };
        assert_eq!(none("connect", None), "unavailable 502 {} | no answer");
        assert_eq!(none("timeout", None), "unavailable 504 {} | no answer");
        assert_eq!(none("newer", None), "unavailable 502 {} | no answer");
        assert_eq!(none("reset", Some((503, "busy"))), "unavailable 503 {} | no answer");
        assert_eq!(
            none("timeout", Some((500, r#"{"a_b":1}"#))),
            r#"unavailable 500 {"aB":1} | no answer"#
        );
        assert_eq!(
            none("reset", Some((429, r#"{"a_b":1}"#))),
            r#"unavailable 502 {"aB":1} | no answer"#
        );
        assert_eq!(none("timeout", Some((408, "[]"))), "unavailable 504 {} | no answer");
    }
}
