//! Sensitive values in texts without keys.

use super::rules::RedactionRules;
use super::rules::Sensitivity;

/// Digits of the number that identifies a person at the US Department of
/// Defense.
const DOD_ID_DIGITS: usize = 10;

/// Longest value that is taken after a key in a text, in bytes.
const VALUE_BYTES_MAX: usize = 4 << 10;

/// Passes everything in `text` that looks sensitive to `found`.
pub(super) fn find(text: &str, rules: &RedactionRules, mut found: impl FnMut(&str, Sensitivity)) {
    addresses(text, &mut |address| found(address, Sensitivity::Personal));
    numbers(text, &mut |number| found(number, Sensitivity::Personal));
    tokens(text, &mut |token| found(token, Sensitivity::Secret));
    after_keys(text, rules, &mut found);
}

/// Finds e-mail addresses, also with a percent-encoded at sign.
fn addresses(text: &str, found: &mut impl FnMut(&str)) {
    let local =
        |byte: &u8| byte.is_ascii_alphanumeric() || b"._+-'".contains(byte) || !byte.is_ascii();
    let host = |byte: &u8| byte.is_ascii_alphanumeric() || b".-".contains(byte) || !byte.is_ascii();
    let bytes = text.as_bytes();
    for sign in ["@", "%40"] {
        for (at, _) in text.match_indices(sign) {
            let before = bytes[..at].iter().rev().take_while(|byte| local(byte)).count();
            let rest = &text[at + sign.len()..];
            let after = rest.bytes().take_while(host).count();
            let domain = rest[..after].trim_end_matches(['.', '-']);
            if before > 0 && !domain.is_empty() {
                let local = &text[at - before..at];
                // Added in the usual form. The encoded form of every value is
                // replaced, too.
                found(&format!("{local}@{domain}"));
            }
        }
    }
}

/// Finds DoD ids (ten digits) and social security numbers (3-2-4).
fn numbers(text: &str, found: &mut impl FnMut(&str)) {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        // The whole run of digits counts: a part of a longer number, such as a
        // task order's, is no DoD id.
        if digits == DOD_ID_DIGITS {
            found(&text[at..at + digits]);
        }
        if digits == 3
            && let Some(number) = text.get(at..at + 11)
            && is_ssn(number.as_bytes())
        {
            let ends = bytes.get(at + 11).is_none_or(|byte| !byte.is_ascii_digit());
            if ends {
                found(number);
            }
        }
        at += digits.max(1);
    }
}

fn is_ssn(text: &[u8]) -> bool {
    text.iter().enumerate().all(|(at, byte)| match at {
        3 | 6 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    })
}

/// Finds credentials after `Bearer` and `Basic`, JSON web tokens, and AWS
/// access keys.
fn tokens(text: &str, found: &mut impl FnMut(&str)) {
    let part = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    let mut scheme = false;
    for word in text.split(|c| !part(c)) {
        let word = word.trim_end_matches('.');
        if word.is_empty() {
            continue;
        }
        // AWS access key ids: `AKIA` for long-term keys, `ASIA` for temporary ones.
        let aws = word.len() == 20 && (word.starts_with("AKIA") || word.starts_with("ASIA"));
        // `eyJ` is `{"` in base64, the begin of a token's JSON header.
        let jwt = word.starts_with("eyJ") && word.matches('.').count() >= 2;
        // Eight characters at least, because `basic` is also a word of ordinary
        // sentences.
        if aws || jwt || (scheme && word.len() >= 8) {
            found(word);
        }
        scheme = is_scheme(word);
    }
}

/// Returns `true` for the scheme before a credential, which is not sensitive
/// itself.
fn is_scheme(word: &str) -> bool {
    word.eq_ignore_ascii_case("bearer") || word.eq_ignore_ascii_case("basic")
}

/// Finds values after known keys in malformed JSON, XML and forms: `"dodId":
/// "1"`, `<dodId>1<`, `dod_id=1`.
fn after_keys(text: &str, rules: &RedactionRules, found: &mut impl FnMut(&str, Sensitivity)) {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let mut rest = text;
    while let Some(start) = rest.find(part) {
        let key_on = &rest[start..];
        let (key, after) = key_on.split_at(key_on.find(|c| !part(c)).unwrap_or(key_on.len()));
        // The text after a closing tag is not the value of its key.
        let closes = rest[..start].ends_with('/') && after.starts_with('>');
        rest = after;
        if closes {
            continue;
        }
        let Some(value) = value_after(after).filter(|value| !is_scheme(value)) else { continue };
        if let Some(class) = rules.sensitivity_of(key) {
            found(value, class);
        }
    }
}

fn value_after(text: &str) -> Option<&str> {
    let text = text.strip_prefix(['"', '\'']).unwrap_or(text).trim_start();
    let separator = text.chars().next().filter(|c| [':', '=', '>'].contains(c))?;
    let text = text[1..].trim_start();
    let (text, end): (_, &[char]) = match (separator, text.chars().next()?) {
        ('>', _) => (text, &['<']),
        (_, '"') => (&text[1..], &['"']),
        (_, '\'') => (&text[1..], &['\'']),
        _ => (text, &[' ', ',', ';', '&', '"', '\'', '<', '}', ']', ')', '\n', '\r', '\t']),
    };
    let length = text.find(end).unwrap_or(text.len());
    (1..=VALUE_BYTES_MAX).contains(&length).then(|| &text[..length])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::RedactConfig;

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let rules = RedactionRules::new(&RedactConfig::default());
        let mut all = Vec::new();
        find(text, &rules, |found, class| {
            let mark = if class == Sensitivity::Secret { "!" } else { "" };
            all.push(format!("{mark}{found}"));
        });
        assert_eq!(all, expected, "{text}");
    }

    #[test]
    fn addresses_and_numbers_of_persons_are_found_in_any_text() {
        check("write to jane.doe+x@army.mil.", &["jane.doe+x@army.mil"]);
        check("<jané@exämple.org>,b@c", &["jané@exämple.org", "b@c"]);
        check("/users/a%40b.org/x", &["a@b.org"]);
        check("@ a@ @b 5 @ 6", &[]);
        check("id 1122334455, not 11223344556 or 112233445", &["1122334455"]);
        check("078-05-1120 078-05-11201 1078-05-1120", &["078-05-1120"]);
    }

    #[test]
    fn tokens_are_found_in_any_text() {
        check("got Bearer abc.def-ghi!", &["!abc.def-ghi"]);
        check("authorization: basic bWU6aHVudGVyMjI=", &["!bWU6aHVudGVyMjI="]);
        check("it is basic and no more", &[]);
        check("x eyJhbGciOi.eyJzdWIi.c2ln y", &["!eyJhbGciOi.eyJzdWIi.c2ln"]);
        check("key AKIAIOSFODNN7EXAMPLE.", &["!AKIAIOSFODNN7EXAMPLE"]);
    }

    #[test]
    fn values_are_found_after_known_keys() {
        check(r#"{"dodId": "12", 'name':'Blue', "status": "x""#, &["12", "Blue"]);
        check("dod_id=12&state=5&token=abc", &["12", "!abc"]);
        check("<name>Blue Team</name><id>7</id>", &["Blue Team"]);
        check("</user> password=abc&id=5", &["!abc"]);
        check("name", &[]);
        check("name:", &[]);
        check("the name is Blue", &[]);
    }
}
