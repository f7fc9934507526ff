//! Texts of other parties in events: on one line, without e-mail addresses and
//! numbers of persons, and bounded.

use std::borrow::Cow;
use std::ops::RangeInclusive;

use super::printable;

/// The most bytes of a text of another party in an event: a reason, a note, a
/// reference, a path.
pub const EVENT_TEXT_BYTES_MAX: usize = 512;

/// The most bytes of a log line of an adapter in an event.
pub const EVENT_LINE_BYTES_MAX: usize = 256;

/// Returns a text of another party for an event: on one line, without e-mail
/// addresses and numbers of persons, and cut to [`EVENT_TEXT_BYTES_MAX`].
pub fn event_text(text: &str) -> Box<str> {
    bounded(text, EVENT_TEXT_BYTES_MAX, Numbers::Masked)
}

/// Returns an id or a name for an event, treated as [`event_text`] but for its
/// numbers: an id may be ten digits.
pub fn event_id(text: &str) -> Box<str> {
    bounded(text, EVENT_TEXT_BYTES_MAX, Numbers::Kept)
}

/// Returns a log line of an adapter for an event, treated as [`event_text`] and
/// cut to [`EVENT_LINE_BYTES_MAX`].
pub fn event_line(text: &str) -> Box<str> {
    bounded(text, EVENT_LINE_BYTES_MAX, Numbers::Masked)
}

/// The treatment of numbers that identify persons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Numbers {
    Masked,
    Kept,
}

fn bounded(text: &str, bytes_max: usize, numbers: Numbers) -> Box<str> {
    // Cut first, so that a long text costs no more than a short one. What
    // `printable` and the masks add is bounded by the second cut.
    let short = &text[..text.floor_char_boundary(bytes_max)];
    let masked = without_addresses(short);
    let masked = match numbers {
        Numbers::Masked => without_numbers(&masked, short.len() < text.len()),
        Numbers::Kept => masked,
    };
    let text = printable(&masked);
    text[..text.floor_char_boundary(bytes_max)].into()
}

/// Replaces e-mail addresses, which are personal data. An address that the cut
/// has split counts as one.
fn without_addresses(text: &str) -> Cow<'_, str> {
    if !text.contains('@') {
        return Cow::Borrowed(text);
    }
    let of_address = |c: char| c.is_alphanumeric() || ".!#$%&'*+-/=?^_`{|}~@".contains(c);
    let mut masked = String::with_capacity(text.len());
    for piece in text.split_inclusive(|c| !of_address(c)) {
        let word = piece.trim_end_matches(|c| !of_address(c));
        match word.contains('@') {
            true => {
                masked.push_str("(address)");
                masked.push_str(&piece[word.len()..]);
            }
            false => masked.push_str(piece),
        }
    }
    Cow::Owned(masked)
}

/// The lengths of the groups of digits in a number that identifies a person: a
/// DoD id, a social security number, a telephone number in North America.
const PERSONS: [&[usize]; 4] = [&[10], &[3, 2, 4], &[3, 3, 4], &[1, 3, 3, 4]];

/// The digits of an international telephone number after its `+` (ITU-T E.164).
const INTERNATIONAL: RangeInclusive<usize> = 8..=15;

/// The fewest digits of any of these numbers.
const DIGITS_MIN: usize = 8;

/// Replaces numbers of persons, which are personal data. A part of a longer
/// number or word is none of them. Of a text that is cut, the digits at its end
/// count as one.
fn without_numbers<'t>(text: &'t str, is_cut: bool) -> Cow<'t, str> {
    let bytes = text.as_bytes();
    // Most texts have no such number, and this runs for each call and end.
    if !is_cut && bytes.iter().filter(|byte| byte.is_ascii_digit()).count() < DIGITS_MIN {
        return Cow::Borrowed(text);
    }
    let (mut masked, mut kept_from, mut at) = (String::new(), 0, 0);
    while at < bytes.len() {
        let digits = digits(&bytes[at..]);
        let is_start = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
        let end = match digits {
            0 => None,
            _ if is_cut && at + digits == bytes.len() => Some(bytes.len()),
            _ if is_start => end_of_number(bytes, at, digits),
            _ => None,
        };
        at = match end {
            Some(end) => {
                masked.push_str(&text[kept_from..at]);
                masked.push_str("(number)");
                kept_from = end;
                end
            }
            None => at + digits.max(1),
        };
    }
    masked.push_str(&text[kept_from..]);
    Cow::Owned(masked)
}

/// Returns the end of the number of a person that begins at `at`, where there are
/// `first` digits. Returns `None` if there is no such number.
fn end_of_number(bytes: &[u8], at: usize, first: usize) -> Option<usize> {
    let ends = |end: usize| bytes.get(end).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let is_international = at > 0 && bytes[at - 1] == b'+' && INTERNATIONAL.contains(&first);
    if is_international && ends(at + first) {
        return Some(at + first);
    }
    let end_of = |form: &&[usize]| {
        let mut end = at;
        for (index, length) in form.iter().enumerate() {
            if index > 0 {
                end += separator(&bytes[end..])?;
            }
            if digits(&bytes[end..]) != *length {
                return None;
            }
            end += length;
        }
        ends(end).then_some(end)
    };
    PERSONS.iter().find_map(end_of)
}

/// Returns the number of digits at the start.
fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Returns the length of what stands between two groups of digits.
fn separator(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b')', b' ', ..] | [b' ', b'(', ..] => Some(2),
        [b'-' | b'.' | b' ' | b')', ..] => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_other_parties_are_masked_and_cut() {
        let long = "ü".repeat(1_000);
        for (text, expected) in [
            ("still working", "still working"),
            ("two\nlines \u{1b}[2J", "two\\nlines \\u{1b}[2J"),
            ("user ada@example.mil, exists", "user (address), exists"),
            ("<ada@example.mil> and bob@x", "<(address)> and (address)"),
            ("/users/ada@x.mil/keys", "(address)"),
            ("@", "(address)"),
            ("user 1122334455 is known", "user (number) is known"),
            ("dodId=1122334455, ssn 078-05-1120", "dodId=(number), ssn (number)"),
            ("/users/1122334455/keys", "/users/(number)/keys"),
            ("call +15551234567 or (555) 123-4567", "call +(number) or ((number)"),
            ("1 (555) 123-4567; 555.123.4567", "(number); (number)"),
            ("404 1122334455", "404 (number)"),
            // Task orders, accounts, times, ids.
            ("1234567890123 of 123456789012", "1234567890123 of 123456789012"),
            ("RITM0012345678 p-11223344556", "RITM0012345678 p-11223344556"),
            ("2026-11-29T10:00:00.000Z", "2026-11-29T10:00:00.000Z"),
            ("0198c1f0-7c1e-7d6a-9d4e-112233445566", "0198c1f0-7c1e-7d6a-9d4e-112233445566"),
            (long.as_str(), &long[..EVENT_TEXT_BYTES_MAX]),
        ] {
            assert_eq!(&*event_text(text), expected, "{text:?}");
        }
        assert_eq!(&*event_id("order 1122334455 of ada@x"), "order 1122334455 of (address)");
        // A number that the cut has split.
        let split = format!("{} 1122334455", "x".repeat(EVENT_TEXT_BYTES_MAX - 5));
        assert!(event_text(&split).ends_with("x (num"), "{}", event_text(&split));
        let controls = "\u{1}".repeat(10_000);
        assert!(event_text(&controls).len() <= EVENT_TEXT_BYTES_MAX);
        assert_eq!(event_line(&long).len(), EVENT_LINE_BYTES_MAX);
    }
}
