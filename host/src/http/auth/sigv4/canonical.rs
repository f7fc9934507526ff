//! The canonical request: the text that is signed instead of the request.
//!
//! Its form follows AWS's documentation for services other than S3: the path is
//! normalised and encoded once more as it arrived, the query is sorted, and
//! headers are trimmed and folded.

use std::fmt::Write as _;

use http::HeaderMap;
use http::request::Parts;
use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::percent_decode_str;
use percent_encoding::percent_encode;

use crate::http::auth::denied::Denied;

/// All characters except the unreserved ones of RFC 3986 (section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns the canonical request up to the digest of the payload, which comes
/// last.
pub fn without_payload(head: &Parts, signed_headers: &str) -> Result<String, Denied> {
    let mut text = String::with_capacity(512);
    let (path, query) = (path(head.uri.path()), query(head.uri.query().unwrap_or_default()));
    writeln!(text, "{}\n{path}\n{query}", head.method).expect("writing to a string succeeds");
    for name in signed_headers.split(';') {
        header(&mut text, &head.headers, name)?;
    }
    writeln!(text, "\n{signed_headers}").expect("writing to a string succeeds");
    Ok(text)
}

/// Resolves `.`, `..` and empty segments, and encodes the rest. `%` is encoded
/// too, so a path that arrived encoded is encoded twice.
pub(super) fn path(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            // At the root it has no effect (RFC 3986 section 5.2.4).
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    let mut canonical = String::with_capacity(path.len());
    for segment in &kept {
        canonical.push('/');
        canonical.extend(percent_encode(segment.as_bytes(), RESERVED));
    }
    if kept.is_empty() || path.ends_with('/') {
        canonical.push('/');
    }
    canonical
}

/// Sorts the parameters by encoded name, then by encoded value.
pub(super) fn query(query: &str) -> String {
    // Decoded first, unlike the path: a parameter is encoded once, whichever
    // characters its sender has encoded.
    let encode = |text: &str| {
        let bytes: Vec<u8> = percent_decode_str(text).collect();
        percent_encode(&bytes, RESERVED).to_string()
    };
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encode(name), encode(value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> =
        pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Adds `name:value,value\n`; runs of spaces count as one.
fn header(text: &mut String, headers: &HeaderMap, name: &str) -> Result<(), Denied> {
    let missing = || Denied::HeaderMissing(name.to_owned());
    // The lookup ignores case, so a name in capitals would be found, but it is
    // not canonical.
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(Denied::Malformed("SignedHeaders are not in lower case"));
    }
    let mut values = headers.get_all(name).iter().peekable();
    values.peek().ok_or_else(missing)?;
    text.push_str(name);
    for (n, value) in values.enumerate() {
        text.push(if n == 0 { ':' } else { ',' });
        let value = str::from_utf8(value.as_bytes())
            .map_err(|_| Denied::Malformed("a signed header is not text"))?;
        // Clients and proxies may change the spaces of a value. The canonical
        // form has no space at its ends, and single spaces inside.
        let words = value.split([' ', '\t']).filter(|word| !word.is_empty());
        for (n, word) in words.enumerate() {
            if n > 0 {
                text.push(' ');
            }
            text.push_str(word);
        }
    }
    text.push('\n');
    Ok(())
}

/// The largest part of a canonical request that goes to the log.
const LOGGED_BYTES_MAX: usize = 4 * 1_024;

/// The headers and parameters whose values are secrets.
const SECRETS: [&str; 6] =
    ["authorization", "cookie", "proxy-authorization", "x-amz-security-token", "x-api-key", "ack"];

/// Returns a canonical request without the values of secrets.
pub fn for_log(canonical: &str) -> String {
    let mask = |part: &str, separator: char| match part.split_once(separator) {
        Some((name, _)) if SECRETS.contains(&name.to_ascii_lowercase().as_str()) => {
            format!("{name}{separator}<masked>")
        }
        Some(_) | None => part.to_owned(),
    };
    let line = |(n, line): (usize, &str)| match n {
        // The method and the path.
        0 | 1 => line.to_owned(),
        QUERY_LINE => line.split('&').map(|part| mask(part, '=')).collect::<Vec<_>>().join("&"),
        _ => mask(line, ':'),
    };
    let mut text = canonical.split('\n').enumerate().map(line).collect::<Vec<_>>().join("\n");
    text.truncate(text.floor_char_boundary(LOGGED_BYTES_MAX));
    text
}

/// The line of a canonical request that has the query.
const QUERY_LINE: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_in_a_logged_request() {
        let request = http::Request::get("/cost-jobs?wait=1&ack=name")
            .header("host", "h")
            .header("x-amz-security-token", "secret")
            .header("x-amz-date", "d");
        let (head, ()) = request.body(()).unwrap().into_parts();
        let canonical = without_payload(&head, "host;x-amz-date;x-amz-security-token").unwrap();
        assert_eq!(
            for_log(&canonical),
            "GET\n/cost-jobs\nack=<masked>&wait=1\nhost:h\nx-amz-date:d\n\
             x-amz-security-token:<masked>\n\nhost;x-amz-date;x-amz-security-token\n"
        );
        let long = "é".repeat(LOGGED_BYTES_MAX);
        assert_eq!(for_log(&long).len(), LOGGED_BYTES_MAX);
    }
}
