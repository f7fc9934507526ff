//! The answers by which AWS refuses a signature.

use http::HeaderMap;
use serde::Deserialize;

use crate::transport::call::RawResponse;

/// The errors that concern the signature or its keys, and not the caller's
/// rights: from the common errors of the services' API references, and from
/// STS. Some have a suffix `Exception`, too.
const ERRORS: [&str; 15] = [
    "AuthFailure",
    "ExpiredToken",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "InvalidSignature",
    "InvalidToken",
    "MissingAuthenticationToken",
    "RequestExpired",
    "RequestInTheFuture",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClient",
];

/// Returns true if a response refuses the signature of its request.
pub fn is_refused(response: &RawResponse) -> bool {
    match response.status {
        401 => true,
        400 | 403 => {
            let body = response.body.as_deref().unwrap_or_default();
            let error = header(&response.headers).or_else(|| json(body)).or_else(|| xml_code(body));
            error.is_some_and(|error| is_credential_error(&error))
        }
        _ => false,
    }
}

/// Returns true for an error such as `ExpiredTokenException`, with a namespace
/// (`com.amazon.coral.service#…`) and a source (`…:http://…`) or without.
fn is_credential_error(error: &str) -> bool {
    let error = error.rsplit_once('#').map_or(error, |(_, error)| error);
    let error = error.split_once(':').map_or(error, |(error, _)| error).trim();
    ERRORS.contains(&error.strip_suffix("Exception").unwrap_or(error))
}

fn header(headers: &HeaderMap) -> Option<String> {
    headers.get("x-amzn-errortype")?.to_str().ok().map(str::to_owned)
}

fn json(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Failed {
        #[serde(rename = "__type", alias = "code")]
        kind: String,
    }
    serde_json::from_slice(body).ok().map(|Failed { kind }| kind)
}

/// Reads the first `Code` of an XML body, which the query and the REST protocol
/// have.
pub fn xml_code(body: &[u8]) -> Option<String> {
    let document = roxmltree::Document::parse(std::str::from_utf8(body).ok()?).ok()?;
    let code = document.descendants().find(|node| is_element(*node, "Code"))?;
    code.text().map(str::to_owned)
}

/// Returns true for an element of this name, in any namespace.
pub fn is_element(node: roxmltree::Node<'_, '_>, name: &str) -> bool {
    node.is_element() && node.tag_name().name() == name
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn errors_about_the_signature_are_told_from_others() {
        let check = |status: u16, header: &'static str, body: &'static str, expected: bool| {
            let mut headers = HeaderMap::new();
            if !header.is_empty() {
                headers.insert("x-amzn-errortype", HeaderValue::from_static(header));
            }
            let response = RawResponse { status, headers, body: Ok(body.into()) };
            assert_eq!(is_refused(&response), expected, "{status} {header} {body}");
        };
        for (status, body, expected) in [
            (400, r#"{"__type": "ExpiredTokenException", "message": "m"}"#, true),
            (400, r#"{"__type":"com.amazon.coral.service#UnrecognizedClientException"}"#, true),
            (403, r#"{"__type": "RequestTimeTooSkewed"}"#, true),
            (403, r#"{"message": "m", "code": "InvalidSignatureException"}"#, true),
            (400, r#"{"__type": "TooManyRequestsException"}"#, false),
            (403, r#"{"__type": "AccessDeniedException"}"#, false),
            (400, r#"{"__type": "com.amazon#DuplicateAccountException"}"#, false),
            (500, r#"{"__type": "ExpiredTokenException"}"#, false),
            (401, "", true),
            (400, "", false),
            (403, "no JSON", false),
            (
                403,
                "<E xmlns='https://x/'><Error><Code>SignatureDoesNotMatch</Code></Error></E>",
                true,
            ),
            (403, "<Error><Code>AccessDenied</Code></Error>", false),
        ] {
            check(status, "", body, expected);
        }
        check(403, "InvalidSignatureException:http://internal.amazon.com/", "{}", true);
        check(403, "AccessDeniedException", r#"{"__type": "ExpiredToken"}"#, false);
    }
}
