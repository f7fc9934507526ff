//! Paths of an API, and the ids in them.

use percent_encoding::percent_decode_str;

/// Returns `true` if the segments of a path match a pattern, in which `{}`
/// stands for an id.
pub fn fits(pattern: &[&str], segments: &[&str]) -> bool {
    pattern.len() == segments.len()
        && pattern.iter().zip(segments).all(|(part, segment)| *part == "{}" || part == segment)
}

/// Returns the decoded ids of a path that matches the pattern.
///
/// # Errors
///
/// Returns the reason if a segment is no id.
pub fn ids(pattern: &[&str], segments: &[&str]) -> Result<Vec<String>, String> {
    let ids = segments.iter().zip(pattern).filter(|(_, part)| **part == "{}");
    ids.map(|(segment, _)| decode_id(segment)).collect()
}

/// Decodes an id.
fn decode_id(segment: &str) -> Result<String, String> {
    // The characters that `encodeURIComponent` leaves alone, and the percent
    // sign.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~!*'()%".contains(&b);
    if segment.is_empty() || !segment.bytes().all(plain) {
        return Err(format!("the id `{segment}` is empty or not percent-encoded"));
    }
    let escapes = segment.split('%').skip(1);
    let whole =
        |escape: &str| escape.len() >= 2 && escape.bytes().take(2).all(|b| b.is_ascii_hexdigit());
    match percent_decode_str(segment).decode_utf8() {
        Ok(id) if escapes.into_iter().all(whole) => Ok(id.into_owned()),
        Ok(_) | Err(_) => Err(format!("the id `{segment}` cannot be decoded")),
    }
}
