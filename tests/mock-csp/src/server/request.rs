//! The header of a request, parsed from the bytes that have arrived.

use std::time::Instant;

use bytes::Buf as _;
use bytes::Bytes;
use bytes::BytesMut;

use super::call::Call;

/// The largest header in bytes. Servers commonly take 8 to 64 KiB.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The largest number of headers.
const HEADERS_MAX: usize = 128;

/// The largest body in bytes, far above the limit for adapters.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A request without its body.
#[derive(Debug)]
pub struct Head {
    call: Call,
    /// The length of the body in bytes.
    pub length: usize,
}

/// A request that is not served.
#[derive(Debug, PartialEq, Eq)]
pub struct Unserved {
    pub status: u16,
    pub reason: String,
}

impl Head {
    /// Takes a request's header from the front of `buffer`. Returns `None` if
    /// it is not complete yet.
    pub fn take(buffer: &mut BytesMut, connection: u64) -> Result<Option<Self>, Unserved> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        let length = match request.parse(buffer) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if buffer.len() < HEAD_BYTES_MAX => return Ok(None),
            Ok(httparse::Status::Partial) => {
                return Err(unserved(431, format!("the header has over {HEAD_BYTES_MAX} bytes")));
            }
            Err(error) => return Err(unserved(400, format!("this is not HTTP: {error}"))),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut call = Call {
            method: request.method.unwrap_or_default().to_owned(),
            target: request.path.unwrap_or_default().to_owned(),
            headers: request.headers.iter().map(|h| (h.name.to_owned(), text(h.value))).collect(),
            body: Bytes::new(),
            arrived: Instant::now(),
            connection,
            keep_alive: true,
        };
        let asks_to_close = |value: &str| value.eq_ignore_ascii_case("close");
        call.keep_alive =
            request.version == Some(1) && !call.headers_named("connection").any(asks_to_close);
        buffer.advance(length);
        let length = body_length(&call)?;
        Ok(Some(Self { call, length }))
    }

    pub fn method(&self) -> &str {
        &self.call.method
    }

    pub fn target(&self) -> &str {
        &self.call.target
    }

    /// Returns the whole request.
    pub fn with_body(self, body: Bytes) -> Call {
        Call { body, ..self.call }
    }
}

fn body_length(call: &Call) -> Result<usize, Unserved> {
    if call.header("transfer-encoding").is_some() {
        return Err(unserved(411, "the body comes without its length".to_owned()));
    }
    let lengths: Vec<&str> = call.headers_named("content-length").collect();
    let length = match lengths[..] {
        [] => 0,
        [one] if one.bytes().all(|b| b.is_ascii_digit()) => match one.parse() {
            Ok(length) => length,
            Err(_) => return Err(unserved(413, format!("the body has {one} bytes"))),
        },
        _ => return Err(unserved(400, format!("`content-length` is {lengths:?}"))),
    };
    if length > BODY_BYTES_MAX {
        return Err(unserved(413, format!("the body has {length} bytes")));
    }
    Ok(length)
}

fn unserved(status: u16, reason: String) -> Unserved {
    Unserved { status, reason }
}
