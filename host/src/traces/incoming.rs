//! The trace context that a client sends with a request.

use http::HeaderMap;

use hoth_core::domain::TRACEPARENT;
use hoth_core::domain::TRACESTATE;
use hoth_core::domain::TraceContext;

/// Returns the context that a client has sent.
pub(super) fn context_in(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    // Two headers contradict each other (W3C Trace Context, section 3.2.1).
    let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
    let states = headers.get_all(TRACESTATE).iter();
    let states: Result<Vec<&str>, _> = states.map(|state| state.to_str()).collect();
    // Several headers are one list (section 3.3.1).
    TraceContext::parse(parent.to_str().ok()?, &states.unwrap_or_default().join(","))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_context_is_read_from_one_parent_and_any_number_of_states() {
        const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        for (given, expected) in [
            (&[("traceparent", PARENT)][..], Some("")),
            (&[("traceparent", PARENT), ("tracestate", "a=1")], Some("a=1")),
            (
                &[("tracestate", "a=1"), ("traceparent", PARENT), ("tracestate", "b=2")],
                Some("a=1,b=2"),
            ),
            (&[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "a=2")], Some("")),
            (&[("traceparent", PARENT), ("tracestate", "ü")], Some("")),
            (&[("traceparent", PARENT), ("traceparent", PARENT)], None),
            (&[("traceparent", "ü")], None),
            (&[("tracestate", "a=1")], None),
            (&[], None),
        ] {
            let headers: HeaderMap = given
                .iter()
                .map(|(name, value)| {
                    let value = HeaderValue::from_bytes(value.as_bytes()).expect("a value");
                    (HeaderName::from_static(name), value)
                })
                .fold(HeaderMap::new(), |mut all, (name, value)| {
                    all.append(name, value);
                    all
                });
            let state = context_in(&headers).map(|context| context.state().to_owned());
            assert_eq!(state.as_deref(), expected, "{given:?}");
        }
    }
}
