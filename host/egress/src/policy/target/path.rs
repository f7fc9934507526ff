//! Paths of requests, which are appended to a base URL.

use url::Url;

/// The error of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    #[error("does not begin with `/`")]
    NotAbsolute,
    #[error("has an empty segment")]
    EmptySegment,
    #[error("has a dot segment")]
    DotSegment,
    #[error("has a character that must be percent-encoded")]
    Unencoded,
    #[error("has a `%` without two hexadecimal digits")]
    BadEscape,
}

/// Appends a path to a base URL without changing any byte of it.
pub fn join(mut base: Url, path: &str) -> Result<Url, BadPath> {
    check_path(path)?;
    let joined = format!("{}{path}", base.path().trim_end_matches('/'));
    base.set_path(&joined);
    debug_assert_eq!(base.path(), joined, "the URL parser leaves a checked path unchanged");
    Ok(base)
}

/// Checks a path by RFC 3986 section 3.3 (`path-abempty`), without empty and dot
/// segments: servers disagree on these. One slash at the end is allowed.
fn check_path(path: &str) -> Result<(), BadPath> {
    let Some(relative) = path.strip_prefix('/') else {
        return Err(BadPath::NotAbsolute);
    };
    if !path.bytes().all(|byte| byte == b'/' || byte == b'%' || is_pchar(byte)) {
        return Err(BadPath::Unencoded);
    }
    let segments = relative.strip_suffix('/').unwrap_or(relative);
    if relative.is_empty() {
        return Ok(());
    }
    for segment in segments.split('/') {
        if segment.is_empty() {
            return Err(BadPath::EmptySegment);
        }
        let mut escapes = segment.split('%').skip(1);
        if !escapes
            .all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|b| b.is_ascii_hexdigit()))
        {
            return Err(BadPath::BadEscape);
        }
        // The URL standard reads `%2e` as a dot in such a segment, and so do
        // servers.
        if matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..") {
            return Err(BadPath::DotSegment);
        }
    }
    Ok(())
}

/// Returns true for `pchar` of RFC 3986 section 3.3, without the escapes.
fn is_pchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}
