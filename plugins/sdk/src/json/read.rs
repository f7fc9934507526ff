//! The parser.
//!
//! `serde_json` checks the grammar, but would convert numbers to binary ones.
//! The checked text is therefore parsed a second time here, by short code that
//! can rely on the grammar.

use serde_json::value::RawValue;

use super::Json;
use super::NESTING_MAX;
use super::Number;
use super::Object;

/// Parses one value, or returns the error.
pub fn text(text: &str) -> Result<Json, String> {
    let checked: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut tokens = Tokens { rest: checked.get() };
    let first = tokens.next();
    value(first, &mut tokens, NESTING_MAX)
}

/// Parses the value that begins with the token `first`, with at most `levels`
/// levels of nesting.
fn value(first: &str, tokens: &mut Tokens<'_>, levels: usize) -> Result<Json, String> {
    let deeper = || {
        let too_deep = || format!("it is nested deeper than {NESTING_MAX} levels");
        levels.checked_sub(1).ok_or_else(too_deep)
    };
    Ok(match first.as_bytes().first() {
        Some(b'{') => Json::Object(Object::of_entries(entries(tokens, deeper()?)?)),
        Some(b'[') => Json::List(items(tokens, deeper()?)?),
        Some(b'"') => Json::Text(string(first)?),
        Some(b't') => Json::Bool(true),
        Some(b'f') => Json::Bool(false),
        Some(b'n') => Json::Null,
        Some(_) => Json::Number(Number::of(first)),
        None => return Err("it ends too early".to_owned()),
    })
}

fn entries(tokens: &mut Tokens<'_>, levels: usize) -> Result<Vec<(String, Json)>, String> {
    let mut entries = Vec::new();
    loop {
        match tokens.next() {
            "}" => return Ok(entries),
            "," | ":" => {}
            key => {
                let key = string(key)?;
                // Skips the colon.
                tokens.next();
                let first = tokens.next();
                entries.push((key, value(first, tokens, levels)?));
            }
        }
    }
}

fn items(tokens: &mut Tokens<'_>, levels: usize) -> Result<Vec<Json>, String> {
    let mut items = Vec::new();
    loop {
        match tokens.next() {
            "]" => return Ok(items),
            "," => {}
            first => items.push(value(first, tokens, levels)?),
        }
    }
}

/// Parses a string, in which only an escape can be wrong: half of a surrogate
/// pair.
fn string(token: &str) -> Result<String, String> {
    if !token.as_bytes().contains(&b'\\') {
        let inner = token.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        return Ok(inner.unwrap_or(token).to_owned());
    }
    serde_json::from_str(token).map_err(|error| error.to_string())
}

/// An iterator over the tokens of a checked JSON text.
struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    /// Returns the next token; empty at the end.
    fn next(&mut self) -> &'a str {
        let rest = self.rest.trim_ascii_start();
        let length = match rest.as_bytes().first() {
            None => 0,
            Some(b'{' | b'}' | b'[' | b']' | b':' | b',') => 1,
            Some(b'"') => string_length(rest.as_bytes()),
            Some(_) => rest
                .bytes()
                .position(|byte| byte.is_ascii_whitespace() || b",]}".contains(&byte))
                .unwrap_or(rest.len()),
        };
        let (token, rest) = rest.split_at_checked(length).unwrap_or((rest, ""));
        self.rest = rest;
        token
    }
}

/// Returns the length of the string at the start of `bytes`, quotes included.
fn string_length(bytes: &[u8]) -> usize {
    let mut escaped = false;
    let end = bytes.iter().skip(1).position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(bytes.len(), |end| end + 2)
}
