//! A finished span, before it is encoded.

use std::time::Duration;
use std::time::Instant;

use uuid::Uuid;

use hoth_core::domain::SpanId;
use hoth_core::domain::Timestamp;
use hoth_core::domain::TraceContext;
use hoth_core::domain::TraceId;

/// The longest text in an attribute, in bytes. Names, ids and codes are far
/// shorter; a path may not be.
pub const TEXT_BYTES_MAX: usize = 512;

/// The most links of a span: a batch has ten outcomes.
pub const LINKS_MAX: usize = 16;

/// A finished span.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    pub name: String,
    pub kind: SpanKind,
    pub context: TraceContext,
    /// `None` for the first span of a trace.
    pub parent: Option<Parent>,
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub start_ns: u64,
    pub end_ns: u64,
    pub attributes: Vec<Attribute>,
    pub events: Vec<SpanEvent>,
    /// Events that happened and are not in `events`.
    pub dropped_events: u32,
    pub links: Vec<TraceContext>,
    pub is_error: bool,
}

/// The span above a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    pub span_id: SpanId,
    /// True if another process made the span.
    pub is_remote: bool,
}

/// The kind of a span, with its number in OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    Internal = 1,
    Server = 2,
    Client = 3,
    Producer = 4,
    Consumer = 5,
}

/// A name and a value.
pub type Attribute = (&'static str, Value);

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(String),
    Int(i64),
    Bool(bool),
}

/// An event within a span.
#[derive(Debug, Clone, PartialEq)]
pub struct SpanEvent {
    pub name: &'static str,
    pub at_ns: u64,
    pub attributes: Vec<Attribute>,
}

impl Span {
    /// Makes a span without attributes.
    pub fn new(
        name: impl Into<String>,
        kind: SpanKind,
        context: TraceContext,
        parent: Option<Parent>,
        (start_ns, end_ns): (u64, u64),
    ) -> Self {
        Self {
            name: name.into(),
            kind,
            context,
            parent,
            start_ns,
            // A receiver may refuse a span that ends before it starts.
            end_ns: end_ns.max(start_ns),
            attributes: Vec::new(),
            events: Vec::new(),
            dropped_events: 0,
            links: Vec::new(),
            is_error: false,
        }
    }

    /// Adds an attribute.
    pub fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        self.attributes.push((name, value.into()));
    }

    /// Adds an attribute that may be missing.
    pub fn set_some<V: Into<Value>>(&mut self, name: &'static str, value: Option<V>) {
        self.attributes.extend(value.map(|value| (name, value.into())));
    }

    /// Marks the span as failed, with the class of the error.
    pub fn fail(&mut self, error_type: impl Into<Value>) {
        self.is_error = true;
        self.set("error.type", error_type);
    }
}

impl Parent {
    /// Returns a parent of this process.
    pub fn local(context: &TraceContext) -> Self {
        Self { span_id: context.span_id, is_remote: false }
    }

    /// Returns a parent of another process, or of an earlier run.
    pub fn remote(context: &TraceContext) -> Self {
        Self { span_id: context.span_id, is_remote: true }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Int(number.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// A moment by both clocks: the wall clock dates a span, and the monotonic clock
/// measures it.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    wall: Timestamp,
    instant: Instant,
}

impl Moment {
    /// Makes the present moment, at `wall` by the wall clock.
    pub fn new(wall: Timestamp) -> Self {
        Self { wall, instant: Instant::now() }
    }

    /// Returns the time that has passed since.
    pub fn elapsed(&self) -> Duration {
        self.instant.elapsed()
    }

    /// Returns this moment and the present one in nanoseconds, for a span.
    pub fn until_now(&self) -> (u64, u64) {
        (nanos(self.wall, Duration::ZERO), nanos(self.wall, self.elapsed()))
    }
}

/// Returns the nanoseconds from 1970 to `offset` after `wall`.
pub fn nanos(wall: Timestamp, offset: Duration) -> u64 {
    let offset = u64::try_from(offset.as_nanos()).unwrap_or(u64::MAX);
    wall.as_millis().saturating_mul(1_000_000).saturating_add(offset)
}

/// Makes a random trace id. Its last seven bytes are random, as the flag
/// "random-trace-id" promises.
pub fn new_trace_id() -> TraceId {
    TraceId::new(*Uuid::new_v4().as_bytes()).expect("a UUID has a version, which is not zero")
}

/// Makes a random span id.
pub fn new_span_id() -> SpanId {
    let (high, _) = Uuid::new_v4().as_u64_pair();
    SpanId::new(high.to_be_bytes()).expect("a UUID has a version, which is not zero")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_ends_no_earlier_than_it_starts() {
        let context = TraceContext::root(new_trace_id(), new_span_id(), true);
        let span = Span::new("x", SpanKind::Internal, context, None, (5, 3));
        assert_eq!((span.start_ns, span.end_ns), (5, 5));
    }

    #[test]
    fn texts_are_cut_between_characters() {
        let Value::Text(text) = Value::from("ü".repeat(TEXT_BYTES_MAX)) else { panic!("a text") };
        assert_eq!(text, "ü".repeat(TEXT_BYTES_MAX / 2));
    }
}
