//! The description of a mistake in a configuration, without secrets.
//!
//! The parser quotes the line of a mistake, and often the value. A secret that
//! was written in clear, in place of a reference to it, must not reach a
//! terminal or a log.

use std::ops::Range;

use hoth_egress::CredentialConfig;

/// Parts of keys and tables that may hold a secret, in lower case, besides the
/// kinds of credentials.
const SECRET_WORDS: [&str; 9] = [
    "secret",
    "password",
    "token",
    "sha256",
    "value",
    "batch_key",
    "auth",
    "credential",
    // A password in a URL.
    "@",
];

/// Describes a mistake in the file: position, line and message. Leaves out the
/// line and the value if they may hold a secret.
pub fn in_file(text: &str, error: &toml::de::Error) -> String {
    let Some(span) = error.span() else { return without_value(error.message(), text) };
    let lines = lines_of(text, &span);
    let key = key_before(text, &span);
    let whole = in_plain_words(error.to_string().trim_end(), key);
    let table = text[..lines.start].lines().rev().find(|line| line.trim_start().starts_with('['));
    let quoted = &text[lines];
    if !may_hold_secret(quoted) && !table.is_some_and(may_hold_secret) {
        return whole;
    }
    let position = whole.lines().next().unwrap_or_default();
    format!("{position}\n{}", in_plain_words(&without_value(error.message(), quoted), key))
}

/// Describes a mistake in a variable that overrides a key.
pub fn in_variable(name: &str, value: &str, message: &str) -> String {
    let key = name.rsplit("__").next().unwrap_or_default().to_ascii_lowercase();
    if may_hold_secret(name) || may_hold_secret(value) {
        return in_plain_words(&without_value(message, value), &key);
    }
    in_plain_words(message, &key)
}

/// Replaces the names of Rust's types at the end of a message about `key`.
fn in_plain_words(message: &str, key: &str) -> String {
    if let Some(before) = message.strip_suffix("invalid socket address syntax") {
        return format!("{before}expected an IP address and a port, such as 127.0.0.1:8080");
    }
    let Some((found, expected)) = message.rsplit_once(", expected ") else {
        return message.to_owned();
    };
    let unit = match key.rsplit('_').next() {
        Some("ms") => " of milliseconds",
        Some("seconds" | "s") => " of seconds",
        Some("hours") => " of hours",
        Some("bytes") => " of bytes",
        Some(_) | None => "",
    };
    let number = format!("a number{unit}");
    let expected = match expected {
        "u16" | "u32" | "u64" | "usize" => format!("{number}, at least 0"),
        "a nonzero u32" | "a nonzero u64" => format!("{number}, at least 1"),
        "f64" => number,
        other => other.to_owned(),
    };
    format!("{found}, expected {expected}")
}

/// Returns the key whose value begins at the start of a span: the last word
/// before the last `=`. Returns an empty text if there is none.
fn key_before<'a>(text: &'a str, span: &Range<usize>) -> &'a str {
    let before = &text[..text.floor_char_boundary(span.start.min(text.len()))];
    let line = before.rsplit('\n').next().unwrap_or_default();
    let Some((keys, _)) = line.rsplit_once('=') else { return "" };
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    keys.trim_end().rsplit(|c| !is_part(c)).next().unwrap_or_default()
}

/// Returns true if a line, or the header of its table, has a word of a secret.
fn may_hold_secret(text: &str) -> bool {
    let text = text.to_lowercase();
    SECRET_WORDS.iter().chain(&CredentialConfig::KINDS).any(|word| text.contains(word))
}

/// Returns the range of the whole lines that a span touches.
fn lines_of(text: &str, span: &Range<usize>) -> Range<usize> {
    // A span may end inside a character or behind the text.
    let at = |index: usize| text.floor_char_boundary(index.min(text.len()));
    let start = text[..at(span.start)].rfind('\n').map_or(0, |newline| newline + 1);
    let end = at(span.end.max(span.start));
    let end = text[end..].find('\n').map_or(text.len(), |newline| end + newline);
    start..end
}

/// Removes values from a message of the parser. `quoted` is the text that the
/// message may quote.
fn without_value(message: &str, quoted: &str) -> String {
    // Of serde: "invalid type: string \"…\", expected a map".
    if let Some((what, found)) = message.split_once(": ")
        && matches!(what, "invalid type" | "invalid value" | "invalid length")
        && let Some((found, expected)) = found.rsplit_once(", expected ")
    {
        let kind = found.split(' ').next().unwrap_or_default();
        return format!("{what}: {kind}, expected {expected}");
    }
    // These name keys, never values.
    let names_key = ["unknown field", "missing field", "duplicate key"];
    if names_key.iter().any(|start| message.starts_with(start)) {
        return message.to_owned();
    }
    match values(quoted).any(|value| value.len() > 2 && message.contains(value)) {
        true => "the value is invalid; it is not shown, as it may be a secret".to_owned(),
        false => message.to_owned(),
    }
}

/// Returns the parts of lines that may be values: everything between quotation
/// marks, and the rest behind each `=`.
fn values(lines: &str) -> impl Iterator<Item = &str> {
    let quoted = lines.split(['"', '\'']).skip(1).step_by(2);
    let bare = lines.lines().filter_map(|line| Some(line.split_once('=')?.1));
    quoted.chain(bare).chain([lines]).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const CSP: &str = "[csp.CSP_A]\nadapter = 'atat'\nbase_url = 'https://h'\n";

    /// Returns the description of the mistake in a file.
    fn described(text: &str) -> String {
        let error = toml::from_str::<Config>(text).expect_err("the file has a mistake");
        in_file(text, &error)
    }

    #[test]
    fn a_secret_that_is_written_in_clear_is_not_shown() {
        for lines in [
            "[csp.CSP_A.api_key]\nheader = 'x-key'\nvalue = 'hunter22'",
            "[csp.CSP_A.api_key]\nheader = 'x-key'\nvalue = 'hunter22",
            "[csp.CSP_A.api_key]\nheader = 'x-key'\nvalue = hunter22",
            "[csp.CSP_A.api_key]\nheader = 'x-key'\nvalue = { env = 'A', text = 'hunter22' }",
            "[csp.CSP_A.api_key]\nheader = 'hunter 22 hunter22'\nvalue = { env = 'A' }",
            "[csp.CSP_A.basic]\nusername = 'u'\npassword = 'hunter22'",
            "[csp.CSP_A.basic]\nusername = 'u'\npassword = '''\nhunter22'''",
            "oauth2 = { token_url = 'https://h', client_id = 'c', client_secret = 'hunter22' }",
            "[csp.CSP_A.credentials.billing.basic]\nuser = 'u'\npassword = \"hunter22\"",
            "proxy = 'http://user:hunter22@'",
            "[[auth.bearer]]\nname = 'n'\nrole = 'read'\nsha256 = 'hunter22'",
            "[[auth.bearer]]\nname = 'n'\nrole = 'read'\nsha256 = \"hunter22",
            "[[auth.sigv4]]\nname = 'n'\nrole = 'read'\naccess_key_id = 'a'\nsecret = 'hunter22'",
            "[api]\nbatch_key = 'hunter22'",
        ] {
            let text = format!("{CSP}{lines}\n");
            let described = described(&text);
            assert!(!described.contains("hunter22"), "{lines}\n{described}");
            assert!(described.contains("line "), "{lines}\n{described}");
        }
    }

    #[test]
    fn a_secret_that_is_written_in_clear_is_answered_with_the_forms_of_a_reference() {
        let text = "[csp.CSP_A.basic]\nusername = 'u'\npassword = 'hunter22'\n";
        let described = described(&format!("{CSP}{text}"));
        let expected = "expected `{ env = \"NAME\" }` or `{ file = \"PATH\" }`";
        assert!(described.contains(expected), "{described}");
    }

    #[test]
    fn a_mistake_elsewhere_is_shown_with_its_line() {
        let described = described(&format!("{CSP}timeout_ms = 'soon'\n"));
        assert!(described.contains("4 | timeout_ms = 'soon'"), "{described}");
        assert!(described.contains("invalid type: string \"soon\""), "{described}");
    }

    #[test]
    fn a_number_of_the_wrong_sign_or_kind_is_answered_in_plain_words() {
        for (line, expected) in [
            ("timeout_ms = 0", "integer `0`, expected a number of milliseconds, at least 1"),
            ("timeout_ms = '2s'", "string \"2s\", expected a number of milliseconds, at least 1"),
            ("timeout_ms = 1.5", "point `1.5`, expected a number of milliseconds, at least 1"),
            ("breaker.over_ms = -5", "`-5`, expected a number of milliseconds, at least 0"),
            ("breaker = { over_ms = -5 }", "expected a number of milliseconds, at least 0"),
            ("max_concurrent = 0", "integer `0`, expected a number, at least 1"),
            (
                "[api]\nlisten = 'localhost:8080'",
                "expected an IP address and a port, such as 127.0.0.1:8080",
            ),
        ] {
            let described = described(&format!("{CSP}{line}\n"));
            assert!(described.ends_with(expected), "{line}\n{described}");
        }
    }

    #[test]
    fn a_key_that_is_unknown_is_named_beside_a_secret() {
        let described = described(&format!("{CSP}[csp.CSP_A.api_key]\nvalu = 'hunter22'\n"));
        assert!(described.contains("unknown field `valu`, expected"), "{described}");
        assert!(!described.contains("hunter22"), "{described}");
    }

    #[test]
    fn a_secret_in_a_variable_is_not_shown() {
        let message = "invalid type: string \"hunter22\", expected a map";
        let shown = in_variable("HOTH__CSP__A__API_KEY__VALUE", "hunter22", message);
        assert_eq!(shown, "invalid type: string, expected a map");
        assert_eq!(in_variable("HOTH__API__LISTEN", "x", message), message);
    }
}
