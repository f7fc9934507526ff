//! The headers that an adapter may set, and those that the host adds.

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header;
use percent_encoding::AsciiSet;
use percent_encoding::CONTROLS;
use percent_encoding::utf8_percent_encode;

use hoth_core::domain::HttpRequest;
use hoth_core::domain::Method;
use hoth_core::domain::TRACEPARENT;
use hoth_core::domain::TRACESTATE;
use hoth_core::domain::TraceContext;

/// Headers that belong to the connection, to the host's credentials and
/// signatures, or to the framing of the message (RFC 9110 section 7.6.1, RFC
/// 9113 section 8.2.2).
const RESERVED: [&str; 19] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "cookie2",
    "date",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
    "x-content-sha256",
    "x-date",
];

/// Headers of trace contexts. They are left out, because the operator decides
/// which CSPs get one, and the host knows the span that makes the call.
const OF_TRACES: [&str; 2] = [TRACEPARENT, TRACESTATE];

/// The prefix of headers for proxies, such as `proxy-authorization`.
const RESERVED_PREFIX: &str = "proxy-";

/// The characters that are percent-encoded in an idempotency key. Every key then
/// is a valid field value. `%` is among them so that two keys stay different.
const KEY: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The error of a header. It names no value, as values are data of the job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    #[error("it has more than {} headers", HttpRequest::PAIRS_MAX)]
    TooMany,
    #[error("its headers have more than {} bytes", HttpRequest::PAIRS_BYTES_MAX)]
    TooLarge,
    #[error("a header has an invalid name")]
    Name,
    #[error("the header `{0}` has an invalid value")]
    Value(HeaderName),
    #[error("the header `{0}` is reserved for the host")]
    Reserved(HeaderName),
}

/// Returns true if an operator may choose the header for an API key. This
/// includes `authorization`, which is reserved for credentials.
pub fn may_carry_key(name: &HeaderName) -> bool {
    name == header::AUTHORIZATION || !is_reserved(name)
}

/// Makes the headers of a request from those of the adapter, without the
/// credential. `credentials` are the headers that carry one in some request.
pub fn assemble(
    method: Method,
    given: &[(String, String)],
    idempotency_key: Option<&str>,
    credentials: &[HeaderName],
) -> Result<HeaderMap, BadHeader> {
    let mut headers = read(given, credentials)?;
    // Defaults only: the adapter's own values win.
    let defaults = [
        (header::ACCEPT, HeaderValue::from_static("application/json")),
        (header::USER_AGENT, HeaderValue::from_static(concat!("hoth/", env!("CARGO_PKG_VERSION")))),
    ];
    for (name, value) in defaults {
        headers.entry(name).or_insert(value);
    }
    // Not a default: the adapter gets bodies without a content coding, so it has
    // nothing to choose.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    match method {
        Method::Get | Method::Head => {}
        Method::Post | Method::Put | Method::Patch | Method::Delete => {
            if let Some(key) = idempotency_key {
                let key = utf8_percent_encode(key, KEY).to_string();
                let key = HeaderValue::from_str(&key).expect("the encoded key is visible ASCII");
                headers.entry(IDEMPOTENCY_KEY).or_insert(key);
            }
        }
    }
    Ok(headers)
}

/// The most headers that [`assemble`] adds to those of an adapter.
const ADDED_MAX: usize = 4;

/// Adds the headers of a trace context.
pub fn propagate(headers: &mut HeaderMap, trace: &TraceContext) {
    for (name, value) in trace.to_pairs() {
        let name = HeaderName::try_from(name).expect("both names are lower-case letters");
        let value = HeaderValue::try_from(value).expect("both values are visible ASCII");
        headers.insert(name, value);
    }
}

fn is_reserved(name: &HeaderName) -> bool {
    RESERVED.contains(&name.as_str()) || name.as_str().starts_with(RESERVED_PREFIX)
}

fn read(given: &[(String, String)], credentials: &[HeaderName]) -> Result<HeaderMap, BadHeader> {
    if given.len() > HttpRequest::PAIRS_MAX {
        return Err(BadHeader::TooMany);
    }
    let bytes: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > HttpRequest::PAIRS_BYTES_MAX {
        return Err(BadHeader::TooLarge);
    }
    let mut headers = HeaderMap::with_capacity(given.len() + ADDED_MAX);
    for (name, value) in given {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| BadHeader::Name)?;
        // Also the headers of other credentials: an adapter could otherwise
        // present a key of its own where the CSP expects the operator's.
        if is_reserved(&name) || credentials.contains(&name) {
            return Err(BadHeader::Reserved(name));
        }
        let value = HeaderValue::from_str(value).map_err(|_| BadHeader::Value(name.clone()))?;
        if OF_TRACES.contains(&name.as_str()) {
            continue;
        }
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use expect_test::Expect;
    use expect_test::expect;

    use super::*;

    fn check(method: Method, given: &[(&str, &str)], expected: Expect) {
        let given: Vec<_> = given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let text = match assemble(method, &given, Some("job 1/ü%\r\n"), &[]) {
            Ok(headers) => {
                let mut lines: Vec<_> = headers
                    .iter()
                    .map(|(n, v)| format!("{n}: {}", String::from_utf8_lossy(v.as_bytes())))
                    .collect();
                lines.sort();
                lines.join("\n")
            }
            Err(bad) => bad.to_string(),
        };
        expected.assert_eq(&text);
    }

    #[test]
    fn the_host_adds_missing_headers() {
        check(
            Method::Get,
            &[],
            expect![[r#"
                accept-encoding: identity
                accept: application/json
                user-agent: hoth/0.1.0"#]],
        );
        check(
            Method::Post,
            &[("X-A", "1"), ("x-a", "2"), ("Content-Type", "application/json")],
            expect![[r#"
                accept-encoding: identity
                accept: application/json
                content-type: application/json
                idempotency-key: job%201/%C3%BC%25%0D%0A
                user-agent: hoth/0.1.0
                x-a: 1
                x-a: 2"#]],
        );
        for method in [Method::Put, Method::Patch, Method::Delete] {
            assert!(assemble(method, &[], Some("k"), &[]).unwrap().contains_key(IDEMPOTENCY_KEY));
        }
        assert!(!assemble(Method::Post, &[], None, &[]).unwrap().contains_key(IDEMPOTENCY_KEY));
        assert!(
            !assemble(Method::Head, &[], Some("k"), &[]).unwrap().contains_key(IDEMPOTENCY_KEY)
        );
    }

    #[test]
    fn headers_of_the_adapter_replace_the_defaults() {
        check(
            Method::Post,
            &[
                ("Accept", "text/csv"),
                ("User-Agent", "ATAT CSP Api Client"),
                ("IDEMPOTENCY-KEY", "mine"),
                ("X-Empty", ""),
            ],
            expect![[r#"
                accept-encoding: identity
                accept: text/csv
                idempotency-key: mine
                user-agent: ATAT CSP Api Client
                x-empty: "#]],
        );
    }

    #[test]
    fn a_trace_context_is_that_of_the_host() {
        let given = [
            ("TraceParent".to_owned(), "mine".to_owned()),
            ("tracestate".to_owned(), "a=1".to_owned()),
        ];
        let mut headers = assemble(Method::Get, &given, None, &[]).unwrap();
        assert!(!headers.contains_key(TRACEPARENT) && !headers.contains_key(TRACESTATE));
        const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        propagate(&mut headers, &TraceContext::parse(PARENT, "b=2").unwrap());
        assert_eq!(headers[TRACEPARENT], PARENT);
        assert_eq!(headers[TRACESTATE], "b=2");
    }

    #[test]
    fn reserved_headers_are_refused() {
        let names = RESERVED.iter().copied().chain(["Proxy-Authorization", "PROXY-CONNECTION"]);
        for name in names.flat_map(|name| [name.to_owned(), name.to_uppercase()]) {
            let refused = assemble(Method::Get, &[(name.clone(), "x".to_owned())], Some("k"), &[]);
            assert!(matches!(refused, Err(BadHeader::Reserved(_))), "{name}");
        }
    }

    #[test]
    fn the_header_of_a_credential_is_reserved() {
        let key = [HeaderName::from_static("x-api-key")];
        let given = [("X-Api-Key".to_owned(), "mine".to_owned())];
        let refused = assemble(Method::Get, &given, Some("k"), &key);
        assert!(matches!(refused, Err(BadHeader::Reserved(_))));
        assert!(assemble(Method::Get, &given, Some("k"), &[]).is_ok());
        for (name, allowed) in
            [("x-api-key", true), ("authorization", true), ("host", false), ("proxy-x", false)]
        {
            assert_eq!(may_carry_key(&HeaderName::from_static(name)), allowed, "{name}");
        }
    }

    #[test]
    fn names_and_values_that_could_split_a_message_are_refused() {
        for name in ["", "a b", "a\r\nb", "a:b", "é", "a\0"] {
            check(Method::Get, &[(name, "x")], expect!["a header has an invalid name"]);
        }
        for value in ["a\r\nHost: evil", "a\n", "\0", "\x7f"] {
            check(Method::Get, &[("x-a", value)], expect!["the header `x-a` has an invalid value"]);
        }
    }

    #[test]
    fn number_and_size_of_headers_are_bounded() {
        let many: Vec<_> = (0..65).map(|_| ("a".to_owned(), String::new())).collect();
        assert_eq!(assemble(Method::Get, &many, Some("k"), &[]), Err(BadHeader::TooMany));
        let large = [("a".to_owned(), "x".repeat(16 * 1024))];
        assert_eq!(assemble(Method::Get, &large, Some("k"), &[]), Err(BadHeader::TooLarge));
    }
}
