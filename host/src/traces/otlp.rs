//! The messages of OTLP, encoded as protobuf.
//!
//! The trace signal of OTLP is stable: fields may be added to these messages,
//! and none change. So HOTH has the fields that it writes here, and not the
//! crate `opentelemetry-proto`, which brings an SDK with it and follows each
//! change of the SDK with a version of its own. Tests decode the messages with
//! that crate.

use prost::Message;

use super::span;
use super::span::Attribute;
use super::span::Span;
use super::span::SpanEvent;
use super::span::Value;
use hoth_core::domain::TraceContext;

/// The name of the instrumentation scope.
const SCOPE: &str = "hoth";

/// `SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`: the next flag has a meaning.
const HAS_IS_REMOTE: u32 = 0x100;

/// `SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK`: the parent belongs to another process.
const IS_REMOTE: u32 = 0x200;

/// `STATUS_CODE_ERROR`.
const STATUS_ERROR: i32 = 2;

/// The attributes of a resource, encoded once.
pub type Resource = Vec<(String, String)>;

/// The response of a receiver.
#[derive(Clone, PartialEq, Message)]
pub struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// The part of a request that a receiver has refused.
#[derive(Clone, PartialEq, Message)]
pub struct PartialSuccess {
    #[prost(int64, tag = "1")]
    pub rejected_spans: i64,
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// Encodes a batch of spans as an `ExportTraceServiceRequest`.
pub fn encode(resource: &Resource, spans: Vec<Span>) -> Vec<u8> {
    let attributes = resource.iter().map(|(key, value)| text(key, value)).collect();
    let scope = Scope { name: SCOPE.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let scope_spans = ScopeSpans {
        scope: Some(scope),
        spans: spans.into_iter().map(SpanMessage::from).collect(),
    };
    let resource = Some(ResourceMessage { attributes });
    let resource_spans = vec![ResourceSpans { resource, scope_spans: vec![scope_spans] }];
    ExportRequest { resource_spans }.encode_to_vec()
}

#[derive(Clone, PartialEq, Message)]
struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<ResourceMessage>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceMessage {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<SpanMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "11")]
    events: Vec<EventMessage>,
    #[prost(uint32, tag = "12")]
    dropped_events_count: u32,
    #[prost(message, repeated, tag = "13")]
    links: Vec<LinkMessage>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct EventMessage {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "3")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct LinkMessage {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(string, tag = "3")]
    trace_state: String,
    #[prost(fixed32, tag = "6")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "OneValue", tags = "1, 2, 3")]
    value: Option<OneValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OneValue {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
}

impl From<Span> for SpanMessage {
    fn from(span: Span) -> Self {
        let is_remote = span.parent.is_some_and(|parent| parent.is_remote);
        let parent_span_id = span.parent.map(|parent| parent.span_id.as_bytes().to_vec());
        Self {
            trace_id: span.context.trace_id.as_bytes().to_vec(),
            span_id: span.context.span_id.as_bytes().to_vec(),
            trace_state: span.context.state().to_owned(),
            parent_span_id: parent_span_id.unwrap_or_default(),
            name: span.name,
            kind: span.kind as i32,
            start_time_unix_nano: span.start_ns,
            end_time_unix_nano: span.end_ns,
            attributes: attributes(span.attributes),
            events: span.events.into_iter().map(EventMessage::from).collect(),
            dropped_events_count: span.dropped_events,
            links: span.links.iter().take(span::LINKS_MAX).map(link).collect(),
            status: span.is_error.then_some(Status { code: STATUS_ERROR }),
            flags: flags(&span.context, is_remote),
        }
    }
}

impl From<SpanEvent> for EventMessage {
    fn from(event: SpanEvent) -> Self {
        Self {
            time_unix_nano: event.at_ns,
            name: event.name.to_owned(),
            attributes: attributes(event.attributes),
        }
    }
}

fn link(context: &TraceContext) -> LinkMessage {
    LinkMessage {
        trace_id: context.trace_id.as_bytes().to_vec(),
        span_id: context.span_id.as_bytes().to_vec(),
        trace_state: context.state().to_owned(),
        flags: flags(context, true),
    }
}

fn flags(context: &TraceContext, is_remote: bool) -> u32 {
    u32::from(context.flags()) | HAS_IS_REMOTE | if is_remote { IS_REMOTE } else { 0 }
}

fn attributes(attributes: Vec<Attribute>) -> Vec<KeyValue> {
    let message = |(key, value): Attribute| {
        let value = match value {
            Value::Text(text) => OneValue::Text(text),
            Value::Int(number) => OneValue::Int(number),
            Value::Bool(value) => OneValue::Bool(value),
        };
        KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
    };
    attributes.into_iter().map(message).collect()
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(OneValue::Text(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value) }
}
