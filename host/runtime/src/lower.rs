//! The lowering of host values to the types of the WIT, borrowed and not
//! copied.

use super::contract::JobContext;
use super::wit::types;
use hoth_core::domain::AdapterState;
use hoth_core::domain::Event;
use hoth_core::domain::HttpResponse;
use hoth_core::domain::Timestamp;
use hoth_core::domain::TransportFailure;

/// Lowers pairs of names and values.
pub(super) fn pairs(pairs: &[(String, String)]) -> Vec<types::PairParam<'_>> {
    pairs.iter().map(|(name, value)| types::PairParam { name, value }).collect()
}

/// Lowers a job, at the time `now`.
pub(super) fn job<'a>(
    facts: &'a JobContext,
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

/// Lowers a state.
pub(super) fn state(state: &AdapterState) -> types::StateParam<'_> {
    types::StateParam { version: state.version, bytes: &state.bytes }
}

/// Lowers the headers of the response in an event. Returns an empty list if the
/// event has no response.
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

/// Lowers an event. `headers` is the result of [`headers`] for the same event.
pub(super) fn event<'a>(event: &'a Event, headers: &'a [types::PairParam<'a>]) -> types::Event<'a> {
    match event {
        Event::Response(answer) => types::Event::Response(response(answer, headers)),
        Event::TransportFailure(failure) => {
            types::Event::TransportFailure(types::TransportFailure {
                code: failure.code.as_str(),
                message: &failure.message,
                sent: failure.sent,
                extra: &[],
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
    types::HttpResponse {
        status: response.status,
        url: &response.url,
        tries: response.tries,
        headers,
        body: &response.body,
        extra: &[],
    }
}
