//! Text of other parties on one line of a log or a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes the characters of `text` that could start a new line, move the
/// cursor, or change the order of characters on a terminal.
///
/// A line break becomes `\n`; the other ones have the form `\u{1b}`. Text
/// without them is returned as it is.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            other if is_unsafe(other) => {
                write!(escaped, "{}", other.escape_unicode())
                    .expect("writing to a string succeeds");
            }
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// Returns `true` for control characters, line and paragraph separators, and
/// the characters that change the direction of text (Unicode, UAX #9).
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_forge_lines_are_escaped() {
        for (text, expected) in [
            ("plain, Ümläut, 日本", "plain, Ümläut, 日本"),
            ("a\nb\r\tc", "a\\nb\\r\\tc"),
            ("\u{1b}[2J", "\\u{1b}[2J"),
            ("\u{9b}2J\u{7f}", "\\u{9b}2J\\u{7f}"),
            ("a\u{2028}b\u{202e}c\u{2066}", "a\\u{2028}b\\u{202e}c\\u{2066}"),
        ] {
            assert_eq!(printable(text), expected);
        }
    }
}
