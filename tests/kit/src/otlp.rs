//! A receiver of traces by OTLP over HTTP.
//!
//! It decodes what it receives with the types that OpenTelemetry generates from
//! its protocol, and not with those of the host.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use mock_csp::Answer;
use mock_csp::Behaviour;
use mock_csp::Call;
use mock_csp::Reply;
use mock_csp::Server;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span;
pub use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use prost::Message as _;

/// A receiver that serves until it is dropped.
///
/// Scripts of its [server](OtlpReceiver::server) make it fail; a call that a
/// script answers is not received.
pub struct OtlpReceiver {
    server: Server,
    received: Arc<Received>,
}

/// A span as it was received, with its values as text.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceivedSpan {
    pub trace_id: String,
    pub span_id: String,
    /// Empty for the first span of a trace.
    pub parent: String,
    pub state: String,
    pub name: String,
    pub kind: SpanKind,
    pub start_ns: u64,
    pub end_ns: u64,
    pub attributes: BTreeMap<String, String>,
    /// The names of the events, each with its attributes.
    pub events: Vec<(String, BTreeMap<String, String>)>,
    /// The trace ids and span ids of the links.
    pub links: Vec<(String, String)>,
    pub is_error: bool,
    pub is_sampled: bool,
    /// The attributes of the process.
    pub resource: BTreeMap<String, String>,
}

#[derive(Default)]
struct Received(Mutex<Vec<ReceivedSpan>>);

impl Received {
    fn spans(&self) -> MutexGuard<'_, Vec<ReceivedSpan>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Behaviour for Received {
    fn answer(&self, call: &Call) -> Reply {
        match received(call) {
            Ok(spans) => {
                self.spans().extend(spans);
                let body = ExportTraceServiceResponse::default().encode_to_vec();
                let answer = Answer::bytes(200, body);
                Reply::valid(answer.header("content-type", "application/x-protobuf"))
            }
            Err(broken) => Reply { answer: Answer::text(400, &broken), broken: vec![broken] },
        }
    }
}

impl OtlpReceiver {
    /// Starts to receive on a free port of loopback.
    ///
    /// # Errors
    ///
    /// Returns an error if no port is free.
    pub async fn start() -> io::Result<Self> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let received = Arc::new(Received::default());
        let server = Server::start(listener, Arc::clone(&received) as _)?;
        Ok(Self { server, received })
    }

    /// Returns the table `[telemetry]` of a host that exports to this receiver.
    pub fn table(&self) -> String {
        format!("[telemetry]\notlp_endpoint = \"{}\"\n", self.server.origin())
    }

    /// Returns the server, with its scripts, calls and violations.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Returns the spans so far, in the order of their arrival.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.received.spans().clone()
    }

    /// Returns the spans of one trace as a tree of names, one a line. Spans that
    /// began together are in the order of their names.
    pub fn tree(&self, trace_id: &str) -> String {
        let mut spans = self.spans();
        spans.retain(|span| span.trace_id == trace_id);
        spans.sort_by(|one, other| (one.start_ns, &one.name).cmp(&(other.start_ns, &other.name)));
        let is_root = |span: &&ReceivedSpan| !spans.iter().any(|one| one.span_id == span.parent);
        let mut tree = String::new();
        for root in spans.iter().filter(is_root) {
            write_tree(&mut tree, &spans, root, 0);
        }
        tree
    }
}

fn write_tree(tree: &mut String, spans: &[ReceivedSpan], above: &ReceivedSpan, depth: usize) {
    writeln!(tree, "{:indent$}{}", "", above.name, indent = 2 * depth)
        .expect("writing to a string succeeds");
    for span in spans.iter().filter(|span| span.parent == above.span_id) {
        write_tree(tree, spans, span, depth + 1);
    }
}

/// Decodes a call. The error names the rule of OTLP that it breaks.
fn received(call: &Call) -> Result<Vec<ReceivedSpan>, String> {
    if call.line() != "POST /v1/traces" {
        return Err(format!("not an export of traces: {}", call.line()));
    }
    if call.header("content-type") != Some("application/x-protobuf") {
        return Err("the content type is not that of protobuf".to_owned());
    }
    let request = ExportTraceServiceRequest::decode(call.body.clone());
    let request = request.map_err(|error| format!("not an export request: {error}"))?;
    let mut spans = Vec::new();
    for group in request.resource_spans {
        let resource = texts(&group.resource.unwrap_or_default().attributes)?;
        for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(read(span, &resource)?);
        }
    }
    Ok(spans)
}

fn read(span: Span, resource: &BTreeMap<String, String>) -> Result<ReceivedSpan, String> {
    if span.name.is_empty() {
        return Err("a span has no name".to_owned());
    }
    if span.end_time_unix_nano < span.start_time_unix_nano {
        return Err(format!("the span {} ends before it starts", span.name));
    }
    let event = |event: span::Event| Ok((event.name, texts(&event.attributes)?));
    let link = |link: span::Link| Ok((id(&link.trace_id, 16)?, id(&link.span_id, 8)?));
    Ok(ReceivedSpan {
        trace_id: id(&span.trace_id, 16)?,
        span_id: id(&span.span_id, 8)?,
        parent: match span.parent_span_id.is_empty() {
            true => String::new(),
            false => id(&span.parent_span_id, 8)?,
        },
        state: span.trace_state.clone(),
        kind: span.kind(),
        start_ns: span.start_time_unix_nano,
        end_ns: span.end_time_unix_nano,
        attributes: texts(&span.attributes)?,
        is_error: span.status.as_ref().is_some_and(|it| it.code() == StatusCode::Error),
        is_sampled: span.flags & 1 == 1,
        events: span.events.into_iter().map(event).collect::<Result<_, String>>()?,
        links: span.links.into_iter().map(link).collect::<Result<_, String>>()?,
        name: span.name,
        resource: resource.clone(),
    })
}

fn id(bytes: &[u8], length: usize) -> Result<String, String> {
    match bytes.len() == length && bytes.iter().any(|byte| *byte != 0) {
        true => Ok(hex::encode(bytes)),
        false => Err(format!("not an id of {length} bytes: {}", hex::encode(bytes))),
    }
}

fn texts(attributes: &[KeyValue]) -> Result<BTreeMap<String, String>, String> {
    let mut texts = BTreeMap::new();
    for KeyValue { key, value, .. } in attributes {
        let text = match value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(Value::StringValue(text)) => text.clone(),
            Some(Value::IntValue(number)) => number.to_string(),
            Some(Value::BoolValue(value)) => value.to_string(),
            other => return Err(format!("the attribute {key} has the value {other:?}")),
        };
        if texts.insert(key.clone(), text).is_some() {
            return Err(format!("the attribute {key} is there twice"));
        }
    }
    Ok(texts)
}
