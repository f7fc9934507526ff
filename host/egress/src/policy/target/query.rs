//! Queries of requests.

use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;
use url::Url;

/// All characters but the unreserved ones of RFC 3986 section 2.3.
const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Appends pairs to the query of a URL.
pub fn append(url: &mut Url, pairs: &[(String, String)]) {
    if pairs.is_empty() {
        return;
    }
    let encoded: Vec<String> = pairs
        .iter()
        .map(|(name, value)| {
            format!("{}={}", utf8_percent_encode(name, QUERY), utf8_percent_encode(value, QUERY))
        })
        .collect();
    let encoded = encoded.join("&");
    let query = match url.query() {
        Some(query) if !query.is_empty() => format!("{query}&{encoded}"),
        Some(_) | None => encoded,
    };
    url.set_query(Some(&query));
}
