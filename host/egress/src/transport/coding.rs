//! Content codings of responses (RFC 9110 section 8.4.1).

use std::io::Read as _;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::HeaderMap;
use http::header;

/// The most codings of one body. A proxy may add one to that of the server.
const CODINGS_MAX: usize = 3;

/// The error of a body that cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    #[error("has the content coding `{0}`, although the request allows `identity` only")]
    Unknown(String),
    #[error("has more than {CODINGS_MAX} content codings")]
    TooMany,
    #[error("is damaged or incomplete gzip")]
    Damaged,
}

impl Undecodable {
    /// Returns true if the same call would get such a body again.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Unknown(_) | Self::TooMany => true,
            Self::Damaged => false,
        }
    }
}

/// Removes the content codings of a body. Returns `None` if the result has more
/// than `max` bytes.
pub fn decode(headers: &HeaderMap, body: Bytes, max: usize) -> Result<Option<Bytes>, Undecodable> {
    let fields = headers.get_all(header::CONTENT_ENCODING).iter();
    let codings: Vec<String> = fields
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b','))
        .map(|coding| String::from_utf8_lossy(coding).trim().to_ascii_lowercase())
        .filter(|coding| !coding.is_empty() && coding != "identity")
        .take(CODINGS_MAX + 1)
        .collect();
    if codings.len() > CODINGS_MAX {
        return Err(Undecodable::TooMany);
    }
    let mut body = body;
    // The codings are listed in the order in which they were applied.
    for coding in codings.iter().rev() {
        if !matches!(coding.as_str(), "gzip" | "x-gzip") {
            let shown = coding.chars().filter(char::is_ascii_graphic).take(32).collect();
            return Err(Undecodable::Unknown(shown));
        }
        let mut decoded = Vec::new();
        // One byte more, to tell a body that is too large from the largest one:
        // a few kilobytes of gzip can hold megabytes.
        MultiGzDecoder::new(&body[..])
            .take(max as u64 + 1)
            .read_to_end(&mut decoded)
            .map_err(|_| Undecodable::Damaged)?;
        if decoded.len() > max {
            return Ok(None);
        }
        body = decoded.into();
    }
    Ok(Some(body))
}

/// Drops a byte order mark, which is not part of a JSON text (RFC 8259 section
/// 8.1).
pub fn without_byte_order_mark(body: &[u8]) -> &[u8] {
    body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http::HeaderValue;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(coding: &'static str, body: Vec<u8>) -> Result<Option<Bytes>, Undecodable> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        decode(&headers, body.into(), 1000)
    }

    #[test]
    fn gzip_is_decoded_within_the_bound() {
        let text = Ok(Some(Bytes::from_static(b"{}")));
        for coding in ["gzip", "X-GZIP", "identity, gzip", " gzip ,, "] {
            assert_eq!(decoded(coding, gzip(b"{}")), text, "{coding}");
        }
        assert_eq!(decoded("identity", b"{}".to_vec()), text);
        assert_eq!(decoded("gzip, gzip", gzip(&gzip(b"{}"))), text);
        let largest = vec![b'x'; 1000];
        assert_eq!(decoded("gzip", gzip(&largest)), Ok(Some(largest.into())));
        assert_eq!(decoded("gzip", gzip(&[b'x'; 1001])), Ok(None));
        assert_eq!(decoded("gzip", gzip(&vec![0; 50_000_000])), Ok(None));
    }

    #[test]
    fn a_body_that_cannot_be_decoded_is_named() {
        let unknown = |coding: &str| Err(Undecodable::Unknown(coding.to_owned()));
        assert_eq!(decoded("br", b"x".to_vec()), unknown("br"));
        assert_eq!(decoded("deflate, gzip", gzip(b"x")), unknown("deflate"));
        assert_eq!(decoded("gzip", b"{}".to_vec()), Err(Undecodable::Damaged));
        let mut cut = gzip(b"a longer text");
        cut.truncate(20);
        assert_eq!(decoded("gzip", cut), Err(Undecodable::Damaged));
        assert_eq!(decoded("gzip,gzip,gzip,gzip", b"x".to_vec()), Err(Undecodable::TooMany));
    }
}
