//! Placeholders for redacted values.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;

use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;

use super::rules::Sensitivity;

/// Values of one job. Each is searched for in every text of the job; a job with
/// more is a list of persons and no typical job.
const VALUES_MAX: usize = 1_000;

/// Shortest value in bytes. One character identifies no person, and occurs in
/// every text.
const PERSONAL_BYTES_MIN: usize = 2;

/// The reserved characters of RFC 3986, which adapters encode in a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The values that were found, in order.
#[derive(Debug, Default)]
pub(super) struct PseudonymBuilder {
    found: Vec<(String, Sensitivity)>,
    /// The same values in lower case, so that each is added once.
    known: HashSet<String>,
}

/// The pseudonym of each value. Case is ignored, as it is in addresses.
#[derive(Debug)]
pub(super) struct Pseudonyms {
    /// Values as written and percent-encoded, in lower case.
    names: HashMap<String, String>,
    /// The same values by their first byte in lower case. Longer values come
    /// first, so that a value is not replaced by the pseudonym of its part.
    by_first: BTreeMap<u8, Vec<Value>>,
}

/// A value to search for.
#[derive(Debug)]
struct Value {
    /// In lower case.
    text: String,
    name: String,
    boundary: Boundary,
}

/// The characters that must not surround a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Boundary {
    /// Digits, for a value that is a number.
    Digits,
    /// Letters and digits.
    Word,
}

impl PseudonymBuilder {
    /// Adds a value. A value that is too short is ignored.
    pub fn add(&mut self, value: &str, class: Sensitivity) {
        let value = value.trim();
        let bytes_min = match class {
            Sensitivity::Personal => PERSONAL_BYTES_MIN,
            Sensitivity::Secret => 1,
        };
        // One value beyond the limit is kept, so that `assign` sees that there
        // are too many.
        if value.len() < bytes_min || self.found.len() > VALUES_MAX {
            return;
        }
        if self.known.insert(value.to_ascii_lowercase()) {
            self.found.push((value.to_owned(), class));
        }
    }

    /// Assigns a pseudonym to each value. Returns `None` if there are too many.
    pub fn assign(self) -> Option<Pseudonyms> {
        if self.found.len() > VALUES_MAX {
            return None;
        }
        let mut given = HashSet::new();
        let mut names = HashMap::new();
        for (number, (value, class)) in self.found.iter().enumerate() {
            let name = match class {
                // Its shape would disclose the length of the secret.
                Sensitivity::Secret => format!("secret-{}", number + 1),
                Sensitivity::Personal => {
                    // Neither another pseudonym nor a value of the job.
                    let free = |name: &String| {
                        let lower = name.to_ascii_lowercase();
                        !self.known.contains(&lower) && !given.contains(&lower)
                    };
                    (number..).map(|n| shaped(value, n)).find(free)?
                }
            };
            given.insert(name.to_ascii_lowercase());
            // Values from the input occur percent-encoded in paths.
            let encoded = utf8_percent_encode(value, SEGMENT).to_string();
            if encoded != *value {
                let name = utf8_percent_encode(&name, SEGMENT).to_string();
                names.insert(encoded.to_ascii_lowercase(), name);
            }
            names.insert(value.to_ascii_lowercase(), name);
        }
        let mut by_first: BTreeMap<u8, Vec<Value>> = BTreeMap::new();
        for (text, name) in &names {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            let boundary = if digits { Boundary::Digits } else { Boundary::Word };
            let value = Value { text: text.clone(), name: name.clone(), boundary };
            by_first.entry(text.as_bytes()[0]).or_default().push(value);
        }
        for values in by_first.values_mut() {
            values.sort_by(|a, b| (b.text.len(), &a.text).cmp(&(a.text.len(), &b.text)));
        }
        Some(Pseudonyms { names, by_first })
    }
}

impl Pseudonyms {
    /// Returns the pseudonym of a value.
    pub fn whole(&self, value: &str) -> Option<&str> {
        self.names.get(&value.to_ascii_lowercase()).map(String::as_str)
    }

    /// Replaces all values in a text.
    pub fn replace(&self, text: &mut String) {
        // The whole text first: a complete value needs no boundaries.
        if let Some(name) = self.whole(text.trim()) {
            *text = name.to_owned();
            return;
        }
        let mut replaced = String::new();
        let mut rest = 0;
        let mut at = 0;
        let bytes = text.as_bytes();
        while at < bytes.len() {
            match self.value_at(bytes, at) {
                Some(value) => {
                    replaced.push_str(&text[rest..at]);
                    replaced.push_str(&value.name);
                    at += value.text.len();
                    rest = at;
                }
                None => at += 1,
            }
        }
        if rest > 0 {
            replaced.push_str(&text[rest..]);
            *text = replaced;
        }
    }

    /// Replaces addresses and numbers in a key. Other values are left alone: a
    /// portfolio with the name `status` must not rename the keys of a protocol.
    pub fn replace_in_key(&self, key: &mut String) {
        if key.contains('@') || key.bytes().filter(u8::is_ascii_digit).count() >= 9 {
            self.replace(key);
        }
    }

    /// Returns the longest value at a position. It starts and ends at character
    /// boundaries, because it consists of whole characters of the text.
    fn value_at(&self, text: &[u8], at: usize) -> Option<&Value> {
        let values = self.by_first.get(&text[at].to_ascii_lowercase())?;
        values.iter().find(|value| {
            let end = at + value.text.len();
            text.get(at..end).is_some_and(|here| here.eq_ignore_ascii_case(value.text.as_bytes()))
                && value.boundary.is_before(&text[..at])
                && value.boundary.is_after(&text[end..])
        })
    }
}

impl Boundary {
    fn is_before(self, before: &[u8]) -> bool {
        match before {
            // The last digit of a percent-encoded character is not part of a
            // word.
            [.., b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => true,
            [.., last] => !self.continues(*last),
            [] => true,
        }
    }

    fn is_after(self, after: &[u8]) -> bool {
        after.first().is_none_or(|first| !self.continues(*first))
    }

    fn continues(self, byte: u8) -> bool {
        match self {
            Self::Digits => byte.is_ascii_digit(),
            // A byte outside of ASCII is part of a letter.
            Self::Word => byte.is_ascii_alphanumeric() || !byte.is_ascii(),
        }
    }
}

/// Returns the `number`th text of the same shape: letters for letters, digits
/// for digits, everything else unchanged. The letters are hexadecimal digits,
/// so that a UUID stays one; the top-level domain of an address is kept,
/// because some systems depend on it; and no number starts with a zero.
fn shaped(value: &str, number: usize) -> String {
    let kept_from = match value.rfind('@') {
        Some(at) => value[at..].rfind('.').map_or(value.len(), |dot| at + dot),
        None => value.len(),
    };
    let (shaped, kept) = value.split_at(kept_from);
    let mut left = number;
    let mut digit = |base: usize| {
        let digit = left % base;
        left /= base;
        u8::try_from(digit).expect("a digit is less than its base")
    };
    let mut reversed: Vec<char> = Vec::with_capacity(shaped.len());
    for (at, c) in shaped.char_indices().rev() {
        reversed.push(match c {
            _ if c.is_ascii_digit() && at == 0 => char::from(b'1' + digit(9)),
            _ if c.is_ascii_digit() => char::from(b'0' + digit(10)),
            _ if c.is_uppercase() => char::from(b'A' + digit(6)),
            _ if c.is_alphanumeric() => char::from(b'a' + digit(6)),
            _ => c,
        });
    }
    let name: String = reversed.into_iter().rev().collect();
    match left {
        0 => name + kept,
        // The shape has fewer texts than `number`.
        more => format!("{name}{more}{kept}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_has_the_shape_of_the_value() {
        for (value, number, expected) in [
            ("1122334455", 0, "1000000000"),
            ("1122334455", 7, "1000000007"),
            ("Jane Doe", 8, "Aaaa Abc"),
            ("jane.doe@army.mil", 7, "aaaa.aaa@aabb.mil"),
            ("u-1", 3, "a-3"),
            ("21d18790-BF3E", 1, "10a00000-AA0B"),
            ("x", 8, "c1"),
            ("-", 8, "-8"),
            ("Žofie", 1, "Aaaab"),
            ("a@b", 1, "a@b"),
        ] {
            assert_eq!(shaped(value, number), expected, "{value}");
        }
    }

    #[test]
    fn pseudonyms_are_unique_and_differ_from_every_value() {
        let mut found = PseudonymBuilder::default();
        let values: Vec<String> = (10..910).map(|n| format!("{n}")).collect();
        values.iter().for_each(|value| found.add(value, Sensitivity::Personal));
        let pseudonyms = found.assign().unwrap();
        let names: HashSet<_> =
            values.iter().map(|value| pseudonyms.whole(value).unwrap()).collect();
        assert_eq!(names.len(), values.len());
        assert!(values.iter().all(|value| !names.contains(value.as_str())));
    }

    #[track_caller]
    fn check(values: &[&str], text: &str, expected: &str) {
        let mut found = PseudonymBuilder::default();
        values.iter().for_each(|value| found.add(value, Sensitivity::Personal));
        let mut text = text.to_owned();
        found.assign().unwrap().replace(&mut text);
        assert_eq!(text, expected);
    }

    #[test]
    fn a_value_is_replaced_only_as_a_whole_word() {
        check(&["12"], "12 112 121 a12b x%2012 12", "10 112 121 a10b x%2010 10");
        check(&["Ann"], "ANN annex joann ann_x ann", "Aaa annex joann Aaa_x Aaa");
        check(&["Ann", "Ann Lee"], "Ann Lee, Ann", "Aaa Aab, Aaa");
        check(&["Blue Team"], "/p/Blue%20Team/x", "/p/Aaaa%20Aaaa/x");
        check(&["ü"], "ü üb aü ü", "a üb aü a");
        check(&["Ann"], "", "");
    }
}
