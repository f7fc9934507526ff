//! The reaction of a server to a call: an answer, or a fault.

use std::time::Duration;

use bytes::BufMut as _;
use bytes::Bytes;
use bytes::BytesMut;
use http::StatusCode;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;
use serde_json::Value;

use super::call::Call;
use super::gate::Gate;

/// The number of bytes that [`Answer::truncated`] announces and does not send.
const MISSING_BYTES: usize = 100;

/// An answer to one call: the bytes to write, and the action on the connection
/// after that.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(super) delay: Duration,
    /// The gate that holds it back after the delay.
    pub(super) gate: Option<Gate>,
    /// `true` if the request's body is awaited first.
    pub(super) reads: bool,
    pub(super) what: Content,
    pub(super) then: Then,
}

/// The action on the connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Serves the next call, if the client keeps the connection alive.
    Stay,
    /// Closes the connection in order.
    Close,
    /// Resets the connection.
    Reset,
    /// Leaves the connection open until the client gives up.
    Hang,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    Nothing,
    /// The behaviour's answer.
    Behave,
    /// A response that quotes what the client has sent.
    Echo(Response),
    Response(Response),
    Bytes(Bytes),
    EndlessHead,
}

#[derive(Debug, Clone)]
pub(super) struct Response {
    status: u16,
    headers: Vec<(String, String)>,
    body: Bytes,
    framing: Framing,
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    Length,
    /// A `content-length` of this value, whatever the body's length is.
    SaysLength(usize),
    /// Two chunks, the second of which has no valid size.
    BadChunk,
    /// A part of the body of this size after each pause.
    Drip(usize, Duration),
}

/// The bytes of a response, in pieces with a pause between them.
pub(super) struct Pieces {
    pub pieces: Vec<Bytes>,
    pub pause: Duration,
}

impl Answer {
    /// Returns an answer of JSON, labelled so.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, body.to_string()).header("content-type", "application/json")
    }

    /// Returns an answer of text, labelled so.
    pub fn text(status: u16, body: &str) -> Self {
        Self::bytes(status, body.to_owned()).header("content-type", "text/plain; charset=utf-8")
    }

    /// Returns an answer of any bytes, without a content type.
    pub fn bytes(status: u16, body: impl Into<Bytes>) -> Self {
        let (headers, framing) = (Vec::new(), Framing::Length);
        Self::of(Content::Response(Response { status, headers, body: body.into(), framing }))
    }

    /// Returns 200 and a JSON object of `bytes` bytes, which must be at least
    /// 11.
    pub fn of_size(bytes: usize) -> Self {
        let filling = "x".repeat(bytes.saturating_sub(r#"{"large":""}"#.len()));
        Self::json(200, &serde_json::json!({ "large": filling }))
    }

    /// Writes these bytes and closes the connection.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self::of(Content::Bytes(bytes.into())).then(Then::Close)
    }

    /// Returns the behaviour's answer. In a list of answers it ends the
    /// failures: fail twice, then behave.
    pub fn behave() -> Self {
        Self::of(Content::Behave)
    }

    /// Quotes the request in the body and in the header, as some gateways do
    /// with a request that they refuse.
    pub fn echo(status: u16) -> Self {
        let (headers, framing) = (Vec::new(), Framing::Length);
        Self::of(Content::Echo(Response { status, headers, body: Bytes::new(), framing }))
    }

    /// Reads the request and resets the connection.
    pub fn reset_after_read() -> Self {
        Self::of(Content::Nothing).then(Then::Reset)
    }

    /// Resets the connection as soon as the request's header is complete,
    /// without awaiting its body.
    pub fn reset_before_read() -> Self {
        Self { reads: false, ..Self::reset_after_read() }
    }

    /// Reads the request and closes the connection in order.
    pub fn close() -> Self {
        Self::of(Content::Nothing).then(Then::Close)
    }

    /// Reads the request and sends nothing until the client gives up.
    pub fn hang() -> Self {
        Self::of(Content::Nothing).then(Then::Hang)
    }

    /// Returns 200 with a body that ends before its announced length.
    pub fn truncated() -> Self {
        let body = r#"{"id":"cut off"#;
        Self::bytes(200, body)
            .header("content-type", "application/json")
            .announcing(body.len() + MISSING_BYTES)
    }

    /// Returns 200 with a body that goes on after its announced length.
    pub fn wrong_length() -> Self {
        Self::json(200, &serde_json::json!({"id": "longer than it says"})).announcing(10)
    }

    /// Returns 200 and a chunked body whose second chunk has no valid size.
    pub fn bad_chunk() -> Self {
        Self::json(200, &serde_json::json!({"id": "in two chunks"})).chunked_badly()
    }

    /// Returns 200 and header lines without end. The server stops writing after
    /// 16 MiB and waits until the client gives up.
    pub fn endless_head() -> Self {
        Self::of(Content::EndlessHead).then(Then::Hang)
    }

    /// Replaces the status.
    pub fn with_status(self, status: u16) -> Self {
        self.change(|response| response.status = status)
    }

    /// Adds a header.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.change(|response| response.headers.push((name.to_owned(), value.to_owned())))
    }

    /// Announces this `content-length`. If the body is shorter, the connection
    /// is closed after it; if it is longer, the rest stands in place of the
    /// next answer.
    pub fn announcing(self, bytes: usize) -> Self {
        let mut short = false;
        let changed = self.change(|response| {
            short = response.body.len() < bytes;
            response.framing = Framing::SaysLength(bytes);
        });
        if short { changed.then(Then::Close) } else { changed }
    }

    /// Sends the body's first half as a chunk, and then bytes that are no
    /// chunk.
    pub fn chunked_badly(self) -> Self {
        self.change(|response| response.framing = Framing::BadChunk).then(Then::Close)
    }

    /// Sends the header at once, and then `bytes` bytes of the body at a time.
    pub fn dripping(self, bytes: usize, every: Duration) -> Self {
        assert!(bytes > 0, "nothing at a time never ends");
        self.change(|response| response.framing = Framing::Drip(bytes, every))
    }

    /// Delays the answer, unless the client gives up first.
    pub fn after(self, delay: Duration) -> Self {
        Self { delay: self.delay + delay, ..self }
    }

    /// Waits until `gate` is open before anything is written, unless the client
    /// gives up first. The effects that the answer reports have happened by
    /// then.
    pub fn held_by(self, gate: &Gate) -> Self {
        Self { gate: Some(gate.clone()), ..self }
    }

    /// Sets the action on the connection after the answer.
    pub fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    fn of(what: Content) -> Self {
        Self { delay: Duration::ZERO, gate: None, reads: true, what, then: Then::Stay }
    }

    fn change(mut self, change: impl FnOnce(&mut Response)) -> Self {
        let (Content::Response(response) | Content::Echo(response)) = &mut self.what else {
            panic!("only a response has headers and a body");
        };
        change(response);
        self
    }
}

impl Response {
    /// Adds the contents of `call`: as they are, in JSON, and percent-encoded.
    pub fn quoting(mut self, call: &Call) -> Self {
        let lines: Vec<String> =
            call.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        let lines = lines.join("\n");
        let credential = ["authorization", "x-api-key"].iter().find_map(|name| call.header(name));
        let credential = credential.unwrap_or_default();
        self.body = serde_json::json!({
            "error": credential,
            "error_description": format!("{}\n{lines}", call.line()),
            "escaped": utf8_percent_encode(&lines, NON_ALPHANUMERIC).to_string(),
            "body": String::from_utf8_lossy(&call.body),
            "status": format!("not for {credential}"),
        })
        .to_string()
        .into();
        let challenge = format!("Bearer error=\"{credential}\"");
        self.headers.push(("www-authenticate".to_owned(), challenge));
        self.headers.push(("content-type".to_owned(), "application/json".to_owned()));
        self
    }

    /// Encodes the response to a call by `method`.
    pub fn encode(&self, method: &str) -> Pieces {
        let body = if method == "HEAD" { &[] } else { &self.body[..] };
        let mut bytes = BytesMut::with_capacity(256 + body.len());
        self.encode_head(&mut bytes);
        let mut pause = Duration::ZERO;
        let mut pieces = Vec::with_capacity(1);
        match self.framing {
            Framing::Length | Framing::SaysLength(_) => bytes.put_slice(body),
            Framing::BadChunk => {
                let half = &body[..body.len() / 2];
                // A chunk of no bytes would be a valid end.
                if !half.is_empty() {
                    bytes.put_slice(format!("{:x}\r\n", half.len()).as_bytes());
                    bytes.put_slice(half);
                    bytes.put_slice(b"\r\n");
                }
                bytes.put_slice(b"no size\r\n");
            }
            Framing::Drip(size, every) => {
                pause = every;
                pieces.push(bytes.split().freeze());
                pieces.extend(body.chunks(size).map(Bytes::copy_from_slice));
            }
        }
        if !bytes.is_empty() {
            pieces.push(bytes.freeze());
        }
        Pieces { pieces, pause }
    }

    fn encode_head(&self, bytes: &mut BytesMut) {
        let known = StatusCode::from_u16(self.status).ok();
        let reason = known.and_then(|status| status.canonical_reason()).unwrap_or("Unknown");
        bytes.put_slice(format!("HTTP/1.1 {} {reason}\r\n", self.status).as_bytes());
        for (name, value) in &self.headers {
            bytes.put_slice(name.as_bytes());
            bytes.put_slice(b": ");
            bytes.put_slice(value.as_bytes());
            bytes.put_slice(b"\r\n");
        }
        let length = match self.framing {
            Framing::SaysLength(length) => Some(length),
            Framing::BadChunk => None,
            // RFC 9110 forbids it on 204, and 304 describes another answer.
            Framing::Length | Framing::Drip(..) if matches!(self.status, 204 | 304) => {
                bytes.put_slice(b"\r\n");
                return;
            }
            Framing::Length | Framing::Drip(..) => Some(self.body.len()),
        };
        let line = match length {
            Some(length) => format!("content-length: {length}\r\n\r\n"),
            None => "transfer-encoding: chunked\r\n\r\n".to_owned(),
        };
        bytes.put_slice(line.as_bytes());
    }
}
