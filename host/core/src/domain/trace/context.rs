//! One trace context, as the headers `traceparent` and `tracestate` carry it.

use std::fmt;

use super::state;

/// The name of the header with the ids, and of its value in a job's context.
pub const TRACEPARENT: &str = "traceparent";

/// The name of the header with the values of vendors, and of its value in a
/// job's context.
pub const TRACESTATE: &str = "tracestate";

/// The length of a `traceparent` of version 00 (W3C Trace Context, section 3.2).
/// Later versions may only be longer.
const TRACEPARENT_BYTES: usize = 55;

/// The longest `traceparent` of a later version that is read.
const TRACEPARENT_BYTES_MAX: usize = 512;

/// The flag "sampled": the caller may have recorded its spans.
const SAMPLED: u8 = 0b01;

/// The flag "random-trace-id" of level 2: at least the last seven bytes of the
/// trace id are random.
const RANDOM: u8 = 0b10;

/// The id of a trace: 16 bytes that are not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

/// The id of a span: 8 bytes that are not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// A place in a trace: the ids of the trace and of a span, and what goes along
/// with them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    /// Those of [`SAMPLED`] and [`RANDOM`].
    flags: u8,
    /// At most 512 bytes; empty if there is none.
    state: String,
}

impl TraceId {
    /// Makes an id. Returns `None` if all bytes are zero.
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl SpanId {
    /// Makes an id. Returns `None` if all bytes are zero.
    pub fn new(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// Returns the bytes.
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl TraceContext {
    /// Makes the context of the first span of a trace. The last seven bytes of
    /// `trace_id` must be random.
    pub fn root(trace_id: TraceId, span_id: SpanId, is_sampled: bool) -> Self {
        let flags = if is_sampled { RANDOM | SAMPLED } else { RANDOM };
        Self { trace_id, span_id, flags, state: String::new() }
    }

    /// Reads the headers of a request. `tracestate` is empty if there is none,
    /// and several headers are joined by commas.
    ///
    /// Returns `None` if `traceparent` is invalid. An invalid `tracestate` is
    /// dropped alone.
    pub fn parse(traceparent: &str, tracestate: &str) -> Option<Self> {
        let text = traceparent.trim_matches([' ', '\t']).as_bytes();
        if !(TRACEPARENT_BYTES..=TRACEPARENT_BYTES_MAX).contains(&text.len()) {
            return None;
        }
        let (known, later) = text.split_at(TRACEPARENT_BYTES);
        let [version] = hex_bytes(&known[..2])?;
        match (version, later) {
            // Never valid (section 3.2.2.1).
            (0xff, _) => return None,
            (0, []) => {}
            (0, _) => return None,
            // The fields of a later version begin with those of this one
            // (section 3.2.4).
            (_, [] | [b'-', ..]) => {}
            (_, _) => return None,
        }
        if [known[2], known[35], known[52]] != *b"---" {
            return None;
        }
        let [flags] = hex_bytes(&known[53..])?;
        Some(Self {
            trace_id: TraceId::new(hex_bytes(&known[3..35])?)?,
            span_id: SpanId::new(hex_bytes(&known[36..52])?)?,
            // A flag that this version does not define is not passed on.
            flags: flags & (SAMPLED | RANDOM),
            state: state::read(tracestate),
        })
    }

    /// Returns the header `traceparent`.
    pub fn traceparent(&self) -> String {
        format!("00-{}-{}-{:02x}", self.trace_id, self.span_id, self.flags)
    }

    /// Returns the header `tracestate`, empty if there is none.
    pub fn state(&self) -> &str {
        &self.state
    }

    /// Returns true if the caller may have recorded its spans.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// Returns the flags, as a number.
    pub fn flags(&self) -> u8 {
        self.flags
    }

    /// Returns the context of another span of the same trace.
    pub fn with_span(&self, span_id: SpanId) -> Self {
        Self { span_id, ..self.clone() }
    }

    /// Returns the values of `job.context` that carry this context.
    pub fn to_pairs(&self) -> Vec<(String, String)> {
        let mut pairs = vec![(TRACEPARENT.to_owned(), self.traceparent())];
        if !self.state.is_empty() {
            pairs.push((TRACESTATE.to_owned(), self.state.clone()));
        }
        pairs
    }
}

/// Reads hex digits in lower case, of exactly the length of the result.
fn hex_bytes<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    // `hex` takes capital letters, too.
    if digits.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    hex::decode_to_slice(digits, &mut bytes).ok()?;
    Some(bytes)
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SpanId({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_as_the_recommendation_has_it() {
        let later = VALID.replacen("00", "01", 1);
        for (text, expected) in [
            (VALID.to_owned(), Some(VALID)),
            (format!(" {VALID}\t"), Some(VALID)),
            // The fields of a later version, and its flags that this one has.
            (later.clone(), Some(VALID)),
            (format!("{later}-what-the-future-brings"), Some(VALID)),
            (VALID.replace("-01", "-fd"), Some(VALID)),
            (format!("{VALID}-more"), None),
            (format!("{VALID}0"), None),
            (format!("{later}.more"), None),
            (format!("{later}-{}", "x".repeat(TRACEPARENT_BYTES_MAX)), None),
            (VALID.replacen("00", "ff", 1), None),
            (VALID.replacen("00", "0", 1), None),
            (VALID.replacen("00", "0g", 1), None),
            (VALID.to_uppercase(), None),
            (VALID.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)), None),
            (VALID.replace("00f067aa0ba902b7", &"0".repeat(16)), None),
            (VALID.replacen('-', "_", 1), None),
            (VALID.replace("-01", "_01"), None),
            (VALID.replace("-01", "-1 "), None),
            (VALID.replace("-01", ""), None),
            (VALID.replace("4b", "ü"), None),
            (format!("{VALID},{VALID}"), None),
            (String::new(), None),
        ] {
            let read = TraceContext::parse(&text, "").map(|context| context.traceparent());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn an_invalid_state_is_dropped_alone() {
        for (state, expected) in [("rojo=1", "rojo=1"), ("rojo=1,Bad", ""), ("", "")] {
            let context = TraceContext::parse(VALID, state).expect("the parent is valid");
            assert_eq!((context.state(), context.is_sampled()), (expected, true));
            assert_eq!(context.to_pairs().len(), if expected.is_empty() { 1 } else { 2 });
        }
    }

    proptest! {
        #[test]
        fn a_written_context_is_read_again(
            trace_id: [u8; 16], span_id: [u8; 8], is_sampled: bool,
        ) {
            let ids = (TraceId::new(trace_id), SpanId::new(span_id));
            prop_assume!(ids.0.is_some() && ids.1.is_some());
            let (trace_id, span_id) = (ids.0.unwrap(), ids.1.unwrap());
            let context = TraceContext::root(trace_id, span_id, is_sampled);
            let text = context.traceparent();
            prop_assert_eq!(text.len(), TRACEPARENT_BYTES);
            prop_assert_eq!(TraceContext::parse(&text, ""), Some(context));
        }

        #[test]
        fn any_text_is_read_without_a_panic_and_a_result_is_stable(
            parent in "(\\PC{0,60}|[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-\\PC{0,9})?)",
            state in "(\\PC{0,40}|([a-z][a-z0-9@]{0,9}=[!-~]{1,150}[, ]?){0,9})",
        ) {
            if let Some(context) = TraceContext::parse(&parent, &state) {
                let again = TraceContext::parse(&context.traceparent(), context.state());
                prop_assert!(context.state().len() <= 512);
                prop_assert_eq!(again, Some(context));
            }
        }
    }
}
