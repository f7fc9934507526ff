//! The parser: one pass over the text.
//!
//! Parsers for serde convert numbers to binary ones, so this is a parser of its
//! own. Every call of an adapter begins with it, in an instance that has run
//! nothing yet: the code is short, and no text is read twice.

use super::Json;
use super::NESTING_MAX;
use super::Number;
use super::Object;

/// Parses one value, or returns the error.
pub fn text(text: &str) -> Result<Json, String> {
    let mut reader = Reader { text, at: 0 };
    reader.document().map_err(|what| {
        let (line, column) = reader.position();
        format!("{what} at line {line} column {column}")
    })
}

/// The error of a text, as a clause without its position.
type Wrong = &'static str;

const ENDS_EARLY: Wrong = "it ends too early";
const NO_VALUE: Wrong = "expected a value";
const NO_NUMBER: Wrong = "expected a digit";
const NO_ESCAPE: Wrong = "unknown escape in a string";
const HALF_A_PAIR: Wrong = "half of a surrogate pair in a string";
const CONTROL: Wrong = "control character in a string";

/// A position in a text.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Json, Wrong> {
        let json = self.value(NESTING_MAX)?;
        match self.token() {
            None => Ok(json),
            Some(_) => Err("expected the end"),
        }
    }

    /// Parses the value at the position, with at most `levels` levels of
    /// nesting.
    fn value(&mut self, levels: usize) -> Result<Json, Wrong> {
        Ok(match self.token().ok_or(ENDS_EARLY)? {
            b'{' => Json::Object(Object::of_entries(self.entries(deeper(levels)?)?)),
            b'[' => Json::List(self.items(deeper(levels)?)?),
            b'"' => Json::Text(self.string()?),
            b'-' | b'0'..=b'9' => Json::Number(Number::of(self.number()?)),
            b't' => self.word("true", Json::Bool(true))?,
            b'f' => self.word("false", Json::Bool(false))?,
            b'n' => self.word("null", Json::Null)?,
            _ => return Err(NO_VALUE),
        })
    }

    fn entries(&mut self, levels: usize) -> Result<Vec<(String, Json)>, Wrong> {
        let mut entries = Vec::new();
        self.at += 1;
        if self.token() == Some(b'}') {
            self.at += 1;
            return Ok(entries);
        }
        loop {
            if self.token().ok_or(ENDS_EARLY)? != b'"' {
                return Err("expected a key");
            }
            let key = self.string()?;
            if self.token().ok_or(ENDS_EARLY)? != b':' {
                return Err("expected a colon");
            }
            self.at += 1;
            entries.push((key, self.value(levels)?));
            if self.ends_with(b'}')? {
                return Ok(entries);
            }
        }
    }

    fn items(&mut self, levels: usize) -> Result<Vec<Json>, Wrong> {
        let mut items = Vec::new();
        self.at += 1;
        if self.token() == Some(b']') {
            self.at += 1;
            return Ok(items);
        }
        loop {
            items.push(self.value(levels)?);
            if self.ends_with(b']')? {
                return Ok(items);
            }
        }
    }

    /// Passes a comma, or the end of a list or an object. Returns true at the
    /// end.
    fn ends_with(&mut self, end: u8) -> Result<bool, Wrong> {
        let token = self.token().ok_or(ENDS_EARLY)?;
        if token != b',' && token != end {
            return Err("expected a comma or the end of a list or an object");
        }
        self.at += 1;
        Ok(token == end)
    }

    fn word(&mut self, word: &str, json: Json) -> Result<Json, Wrong> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(NO_VALUE);
        }
        self.at += word.len();
        Ok(json)
    }

    fn number(&mut self) -> Result<&'a str, Wrong> {
        let start = self.at;
        self.pass(b"-");
        // A zero begins no longer number.
        if !self.pass(b"0") {
            self.digits()?;
        }
        if self.pass(b".") {
            self.digits()?;
        }
        if self.pass(b"eE") {
            self.pass(b"+-");
            self.digits()?;
        }
        Ok(self.since(start))
    }

    fn digits(&mut self) -> Result<(), Wrong> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(NO_NUMBER) } else { Ok(()) }
    }

    /// Passes one byte if it is one of `bytes`.
    fn pass(&mut self, bytes: &[u8]) -> bool {
        let passes = self.peek().is_some_and(|byte| bytes.contains(&byte));
        self.at += usize::from(passes);
        passes
    }

    fn string(&mut self) -> Result<String, Wrong> {
        self.at += 1;
        let first = self.plain();
        // Most strings have no escape: one copy of the right size.
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(first.to_owned());
        }
        let mut string = first.to_owned();
        loop {
            match self.peek().ok_or(ENDS_EARLY)? {
                b'"' => {
                    self.at += 1;
                    return Ok(string);
                }
                b'\\' => string.push(self.escape()?),
                _ => return Err(CONTROL),
            }
            string.push_str(self.plain());
        }
    }

    /// Passes the characters of a string up to its end, an escape or a control
    /// character.
    fn plain(&mut self) -> &'a str {
        let start = self.at;
        let stops = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
        self.at += self.rest().iter().position(stops).unwrap_or(self.text.len() - self.at);
        self.since(start)
    }

    fn escape(&mut self) -> Result<char, Wrong> {
        self.at += 1;
        let escaped = self.peek().ok_or(ENDS_EARLY)?;
        self.at += 1;
        Ok(match escaped {
            b'"' | b'\\' | b'/' => char::from(escaped),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.character(),
            _ => return Err(NO_ESCAPE),
        })
    }

    /// Parses the character after `\u`: four digits, or two such units that are
    /// a pair.
    fn character(&mut self) -> Result<char, Wrong> {
        let first = self.unit()?;
        if !(0xd800..=0xdbff).contains(&first) {
            return char::from_u32(first).ok_or(HALF_A_PAIR);
        }
        if !self.rest().starts_with(b"\\u") {
            return Err(HALF_A_PAIR);
        }
        self.at += 2;
        let second = self.unit()?;
        if !(0xdc00..=0xdfff).contains(&second) {
            return Err(HALF_A_PAIR);
        }
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(HALF_A_PAIR)
    }

    fn unit(&mut self) -> Result<u32, Wrong> {
        let digits = self.rest().first_chunk::<4>().ok_or(ENDS_EARLY)?;
        let unit = digits.iter().try_fold(0, |unit, digit| {
            char::from(*digit).to_digit(16).map(|digit| unit << 4 | digit)
        });
        self.at += 4;
        unit.ok_or(NO_ESCAPE)
    }

    /// Skips white space, and returns the byte after it. Returns `None` at the
    /// end.
    fn token(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        self.peek()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Returns the text from `start` to the position. Both are next to bytes of
    /// ASCII, which in UTF-8 are no part of another character.
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Returns line and column, from 1.
    fn position(&self) -> (usize, usize) {
        let passed = self.text.as_bytes().get(..self.at).unwrap_or(self.text.as_bytes());
        let line = passed.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = passed.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        (line, column)
    }
}

fn deeper(levels: usize) -> Result<usize, Wrong> {
    const TOO_DEEP: Wrong = "it is nested deeper than 96 levels";
    const { assert!(NESTING_MAX == 96, "the message names the bound") }
    levels.checked_sub(1).ok_or(TOO_DEEP)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_error_has_a_position() {
        for (text, error) in [
            ("", "it ends too early at line 1 column 1"),
            ("{\"a\":1,\n \"b\" 2}", "expected a colon at line 2 column 6"),
            ("[1 2]", "expected a comma or the end of a list or an object at line 1 column 4"),
            ("[-]", "expected a digit at line 1 column 3"),
            ("01", "expected the end at line 1 column 2"),
            ("\"\\x\"", "unknown escape in a string at line 1 column 4"),
            ("\"\\ud800\"", "half of a surrogate pair in a string at line 1 column 8"),
            ("\"a\tb\"", "control character in a string at line 1 column 3"),
            ("nul", "expected a value at line 1 column 1"),
        ] {
            assert_eq!(super::text(text).unwrap_err(), error, "{text:?}");
        }
    }
}
