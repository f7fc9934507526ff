//! Numbers that no double holds, which HOTH passes on digit for digit.
//!
//! No field of a request is a number, so the value of a number matters only to
//! adapters and CSPs, and they get the text. Reading must not fail at `1e999`,
//! and two requests that differ in the thirtieth digit are not the same.

use std::borrow::Cow;

/// The number of significant digits that a double always holds.
const DIGITS_MAX: usize = 15;

/// Returns the text with every number that no double holds replaced by a zero
/// and as many spaces: everything else keeps its line and column.
pub fn zeroed(text: &[u8]) -> Cow<'_, [u8]> {
    replaced(text, |token| {
        let mut zero = vec![b' '; token.len()];
        zero[0] = b'0';
        zero
    })
}

/// Returns the text with every number that no double holds replaced by a string
/// with its digits, which no other string equals in practice.
pub fn quoted(text: &[u8]) -> Cow<'_, [u8]> {
    replaced(text, |token| [br#""\u0000"#, token, br#"""#].concat())
}

fn replaced(text: &[u8], replacement: impl Fn(&[u8]) -> Vec<u8>) -> Cow<'_, [u8]> {
    let (mut output, mut copied, mut at) = (Vec::new(), 0, 0);
    while at < text.len() {
        match text[at] {
            b'"' => at = end_of_string(text, at),
            b'-' | b'0'..=b'9' => {
                let part =
                    |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let end = at + text[at..].iter().take_while(|byte| part(byte)).count();
                let token = &text[at..end];
                if is_beyond_a_double(token) {
                    output.extend_from_slice(&text[copied..at]);
                    output.extend(replacement(token));
                    copied = end;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    output.extend_from_slice(&text[copied..]);
    Cow::Owned(output)
}

/// Returns the position behind the string that begins at `at`.
fn end_of_string(text: &[u8], mut at: usize) -> usize {
    at += 1;
    while at < text.len() {
        match text[at] {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

/// Returns true if `token` is a number of JSON (RFC 8259 section 6) that a
/// double may not hold. Malformed numbers are left to the reader's error.
fn is_beyond_a_double(token: &[u8]) -> bool {
    let Ok(token) = str::from_utf8(token) else { return false };
    // The reader holds these exactly.
    if token.parse::<i64>().is_ok() || token.parse::<u64>().is_ok() {
        return false;
    }
    let (mantissa, exponent) = token.split_once(['e', 'E']).unwrap_or((token, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let whole = whole.strip_prefix('-').unwrap_or(whole);
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    if leading_zero || ![whole, fraction, exponent].into_iter().all(digits) {
        return false;
    }
    let all = format!("{whole}{fraction}");
    let significant = all.trim_matches('0');
    let value: f64 = token.parse().unwrap_or(f64::INFINITY);
    let vanishes = value == 0.0 && !significant.is_empty();
    significant.len() > DIGITS_MAX || value.is_infinite() || vanishes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_beyond_a_double_are_replaced() {
        for (text, zero, quote) in [
            (r#"{"a":1.50e1,"b":-0}"#, None, None),
            (r#"["18446744073709551616", 18446744073709551615]"#, None, None),
            (
                "[18446744073709551616]",
                Some("[0                   ]"),
                Some(r#"["\u000018446744073709551616"]"#),
            ),
            (
                "[1e999,\"\\\"1e999\",-1E-999]",
                Some("[0    ,\"\\\"1e999\",0      ]"),
                Some("[\"\\u00001e999\",\"\\\"1e999\",\"\\u0000-1E-999\"]"),
            ),
            (
                "0.1234567890123456",
                Some("0                 "),
                Some("\"\\u00000.1234567890123456\""),
            ),
            // Malformed numbers stay for the error of the reader.
            ("[1e9999.5, 01e999, 1e, 1e999-, \"unfinished", None, None),
        ] {
            let expected = |changed: Option<&str>| changed.unwrap_or(text).as_bytes().to_vec();
            assert_eq!(zeroed(text.as_bytes()), expected(zero), "{text}");
            assert_eq!(quoted(text.as_bytes()), expected(quote), "{text}");
        }
    }
}
