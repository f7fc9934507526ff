//! Texts of other parties in events: on one line, without e-mail addresses, and
//! bounded.

use std::borrow::Cow;

use super::printable;

/// The most bytes of a text of another party in an event: a reason, a note, a
/// reference, a path.
pub const EVENT_TEXT_BYTES_MAX: usize = 512;

/// The most bytes of a log line of an adapter in an event.
pub const EVENT_LINE_BYTES_MAX: usize = 256;

/// Returns a text of another party for an event: on one line, without e-mail
/// addresses, and cut to [`EVENT_TEXT_BYTES_MAX`].
pub fn event_text(text: &str) -> Box<str> {
    bounded(text, EVENT_TEXT_BYTES_MAX)
}

/// Returns a log line of an adapter for an event, treated as [`event_text`] and
/// cut to [`EVENT_LINE_BYTES_MAX`].
pub fn event_line(text: &str) -> Box<str> {
    bounded(text, EVENT_LINE_BYTES_MAX)
}

fn bounded(text: &str, bytes_max: usize) -> Box<str> {
    // Cut first, so that a long text costs no more than a short one. What
    // `printable` and the mask add is bounded by the second cut.
    let short = &text[..text.floor_char_boundary(bytes_max)];
    let masked = without_addresses(short);
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
            (long.as_str(), &long[..EVENT_TEXT_BYTES_MAX]),
        ] {
            assert_eq!(&*event_text(text), expected, "{text:?}");
        }
        let controls = "\u{1}".repeat(10_000);
        assert!(event_text(&controls).len() <= EVENT_TEXT_BYTES_MAX);
        assert_eq!(event_line(&long).len(), EVENT_LINE_BYTES_MAX);
    }
}
