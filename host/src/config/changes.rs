//! The keys in which two configuration files differ.

use std::collections::BTreeMap;

use toml::Table;
use toml::Value;

use hoth_core::domain::Digest;

/// The most keys that a description names.
const NAMED_MAX: usize = 20;

/// The keys of a file, each with a digest of its value. Values are not kept: a
/// URL may hold a password.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyDigests {
    keys: BTreeMap<String, Digest>,
    /// The digest of the whole text; `None` if no file was read.
    file: Option<Digest>,
}

impl KeyDigests {
    /// Reads a file that has been parsed before. A file that is no TOML has no
    /// keys.
    pub fn of(text: &str) -> Self {
        let mut digests = BTreeMap::new();
        add(&mut digests, "", &toml::from_str::<Table>(text).unwrap_or_default());
        Self { keys: digests, file: Some(Digest::of(text.as_bytes())) }
    }

    /// Returns the SHA-256 of the file. Returns `None` if no file was read.
    pub fn of_file(&self) -> Option<Digest> {
        self.file
    }

    /// Returns the keys that take effect only at a start, and in which `newer`
    /// differs: sorted, and as text. Returns `None` if there are none.
    pub fn pending(&self, newer: &Self) -> Option<String> {
        let mut keys: Vec<&str> =
            self.keys.keys().chain(newer.keys.keys()).map(String::as_str).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.retain(|key| !is_reloaded(key) && self.keys.get(*key) != newer.keys.get(*key));
        if keys.is_empty() {
            return None;
        }
        let further = keys.len().saturating_sub(NAMED_MAX);
        keys.truncate(NAMED_MAX);
        let named = keys.join(", ");
        Some(if further > 0 { format!("{named} and {further} more") } else { named })
    }
}

/// Adds the keys of a table, without those of its tables.
fn add(digests: &mut BTreeMap<String, Digest>, prefix: &str, table: &Table) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(inner) => add(digests, &key, inner),
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => {
                digests.insert(key, Digest::of(value.to_string().as_bytes()));
            }
        }
    }
}

/// Returns `true` for keys that a running host applies.
fn is_reloaded(key: &str) -> bool {
    ["auth.", "api.tls.", "admin.tls."].iter().any(|table| key.starts_with(table))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_wait_for_a_start_are_named() {
        let old = "[csp.A]\nbase_url = 'https://h'\ntimeout_ms = 1\n[[auth.bearer]]\nname = 'a'\n";
        for (new, expected) in [
            (old.to_owned(), None),
            (old.replace("'a'", "'b'"), None),
            (format!("# a comment\n{old}"), None),
            (old.replace("timeout_ms = 1", "timeout_ms = 2"), Some("csp.A.timeout_ms")),
            (old.replace("timeout_ms = 1\n", ""), Some("csp.A.timeout_ms")),
            (format!("{old}[retry]\nattempts = 5"), Some("retry.attempts")),
            (format!("{old}[admin.tls]\nkey = 'k'"), None),
            (
                old.replace("csp.A", "csp.B"),
                Some("csp.A.base_url, csp.A.timeout_ms, csp.B.base_url, csp.B.timeout_ms"),
            ),
        ] {
            let pending = KeyDigests::of(old).pending(&KeyDigests::of(&new));
            assert_eq!(pending.as_deref(), expected, "{new}");
        }
    }

    #[test]
    fn a_description_has_a_bound() {
        let many: String = (10..40).map(|at| format!("k{at} = 1\n")).collect();
        let pending = KeyDigests::default().pending(&KeyDigests::of(&many)).unwrap_or_default();
        assert!(pending.starts_with("k10, k11, ") && pending.ends_with("k29 and 10 more"));
    }
}
