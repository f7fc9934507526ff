//! The faults of the table, as a server makes them.

use std::time::Duration;

use mock_csp::Answer;
use mock_csp::Then;
use serde_json::Value;
use serde_json::json;

use super::table::Answered;
use super::table::Body;
use super::table::Location;
use super::table::TokenFault;
use super::table::TransportFault;

/// Bytes and pause of a slow body, which takes longer than any time limit of
/// the table.
const DRIP: (usize, Duration) = (1, Duration::from_millis(200));

/// Returns the object of [`Body::Object`], as the CSP sends it.
pub fn object() -> Value {
    json!({"mock_portfolio": "no", "far51_id": null, "task_orders": [{"clin_number": "0001"}, "a_b"]})
}

/// Returns the object of [`Body::Object`] in camelCase.
pub fn object_in_camel_case() -> Value {
    json!({"mockPortfolio": "no", "far51Id": null, "taskOrders": [{"clinNumber": "0001"}, "a_b"]})
}

/// The text of [`Body::Text`].
pub const TEXT: &str = "No, and \"why\" is <not> for you.";

/// The text of [`Body::Array`].
pub const ARRAY: &str = "[1, {\"a_b\": 2}]";

pub fn location(location: Location, portfolio: &str, origin: &str) -> String {
    let (Location::Usable(text) | Location::Unusable(text)) = location;
    text.replace("{p}", portfolio).replace("{origin}", origin)
}

/// Returns the answer to a call for `portfolio`.
pub fn answer(answered: &Answered, portfolio: &str, origin: &str) -> Answer {
    let status = answered.status;
    let mut answer = match answered.body {
        // Answers with these statuses have no body.
        Body::Object if [101, 204, 205, 304].contains(&status) => Answer::bytes(status, ""),
        Body::Object => Answer::json(status, &object()),
        Body::Text => Answer::text(status, TEXT),
        Body::Empty => Answer::bytes(status, ""),
        Body::Array => Answer::bytes(status, ARRAY),
        Body::Null => Answer::bytes(status, "null"),
        Body::TruncatedJson => Answer::bytes(status, r#"{"id": "p-1", "#),
        Body::Large(bytes) => Answer::of_size(bytes).with_status(status),
        Body::Status(word) => Answer::json(status, &self::status(word, portfolio)),
        Body::LongerThanAnnounced => Answer::wrong_length(),
    };
    if let Some(seconds) = answered.retry_after {
        answer = answer.header("retry-after", &seconds.to_string());
    }
    // The host must not follow this location.
    if (300..400).contains(&status) {
        answer = answer.header("location", "/atat/api/v1/portfolios/redirected/costs");
    }
    match answered.location {
        Some(at) => answer.header("location", &location(at, portfolio, origin)),
        None => answer,
    }
}

/// Returns the status of a job, as the CSP sends it.
pub fn status(word: &str, portfolio: &str) -> Value {
    json!({"provisioning_job_id": "9", "portfolio_id": portfolio, "status": word})
}

/// Returns the broken answer, or `None` if there is no server to send it.
pub fn broken(how: TransportFault, good: &Value) -> Option<Answer> {
    let body = good.to_string();
    let json = || Answer::json(200, good);
    Some(match how {
        TransportFault::Refuses => return None,
        TransportFault::ResetsBeforeReading => Answer::reset_before_read(),
        TransportFault::ResetsAfterReading => Answer::reset_after_read(),
        TransportFault::ResetsInTheBody => json().announcing(body.len() + 100).then(Then::Reset),
        TransportFault::Closes => Answer::close(),
        TransportFault::Hangs => Answer::hang(),
        TransportFault::SlowBody => json().dripping(DRIP.0, DRIP.1),
        TransportFault::Truncated => json().announcing(body.len() + 100),
        TransportFault::InvalidChunk => json().chunked_badly(),
        TransportFault::NotHttp => Answer::raw("250 smtp.example.com at your service\r\n\r\n"),
        TransportFault::HeaderWithoutEnd => Answer::endless_head(),
    })
}

/// Returns the answer of the identity provider, or `None` if it refuses
/// connections.
pub fn token_answer(how: TokenFault) -> Option<Answer> {
    let good =
        json!({"access_token": "a-token-of-forty-characters-or-even-more", "token_type": "bearer"});
    Some(match how {
        TokenFault::Refused(status) => Answer::json(status, &json!({"error": "invalid_client"})),
        TokenFault::Answered(status) => Answer::text(status, "").header("location", "/elsewhere"),
        TokenFault::Grants(body) => Answer::bytes(200, body),
        TokenFault::Transport(how) => return broken(how, &good),
    })
}
