//! Paths of an API, and the ids in them.

use percent_encoding::percent_decode_str;

/// Whether the segments of a path are those of a pattern, in which `{}` stands
/// for an id.
pub fn fits(pattern: &[&str], segments: &[&str]) -> bool {
    pattern.len() == segments.len()
        && pattern.iter().zip(segments).all(|(part, segment)| *part == "{}" || part == segment)
}

/// The ids of a path that fits the pattern, decoded.
///
/// # Errors
///
/// Why one of them is none.
pub fn ids(pattern: &[&str], segments: &[&str]) -> Result<Vec<String>, String> {
    let ids = segments.iter().zip(pattern).filter(|(_, part)| **part == "{}");
    ids.map(|(segment, _)| decode_id(segment)).collect()
}

/// What an id stands for, if it is encoded as it should be.
fn decode_id(segment: &str) -> Result<String, String> {
    // What `encodeURIComponent` leaves alone, and the percent sign itself.
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
