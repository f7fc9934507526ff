//! From the host's words to the guest's: borrowed, not copied.

use super::call::Facts;
use super::wit::types;
use hoth_core::domain::AdapterState;
use hoth_core::domain::Event;
use hoth_core::domain::HttpResponse;
use hoth_core::domain::Timestamp;
use hoth_core::domain::TransportFailure;

pub(super) fn pairs(pairs: &[(String, String)]) -> Vec<types::PairParam<'_>> {
    pairs.iter().map(|(name, value)| types::PairParam { name, value }).collect()
}

pub(super) fn job<'a>(
    facts: &'a Facts,
    now: Timestamp,
    entropy: (u64, u64),
    context: &'a [types::PairParam<'a>],
) -> types::Job<'a> {
    types::Job {
        id: &facts.id,
        operation: &facts.operation,
        input: &facts.input,
        settings: &facts.settings,
        attempt: facts.attempt,
        now_ms: now.as_millis(),
        entropy,
        context,
    }
}

pub(super) fn state(state: &AdapterState) -> types::StateParam<'_> {
    types::StateParam { version: state.version, bytes: &state.bytes }
}

/// The headers of the response that an event carries, if it carries one.
pub(super) fn headers(event: &Event) -> Vec<types::PairParam<'_>> {
    match event {
        Event::Response(response)
        | Event::TransportFailure(TransportFailure { last_response: Some(response), .. }) => {
            pairs(&response.headers)
        }
        Event::TransportFailure(TransportFailure { last_response: None, .. }) | Event::Timer => {
            Vec::new()
        }
    }
}

/// `headers` is what [`headers`] gave for the same event.
pub(super) fn event<'a>(event: &'a Event, headers: &'a [types::PairParam<'a>]) -> types::Event<'a> {
    match event {
        Event::Response(answer) => types::Event::Response(response(answer, headers)),
        Event::TransportFailure(failure) => {
            types::Event::TransportFailure(types::TransportFailure {
                code: failure.code.as_str(),
                message: &failure.message,
                sent: failure.sent,
                last_response: failure
                    .last_response
                    .as_ref()
                    .map(|answer| response(answer, headers)),
            })
        }
        Event::Timer => types::Event::Timer,
    }
}

fn response<'a>(
    response: &'a HttpResponse,
    headers: &'a [types::PairParam<'a>],
) -> types::HttpResponse<'a> {
    types::HttpResponse { status: response.status, headers, body: &response.body }
}
