//! Overrides from the environment: `HOTH__SECTION__KEY`.

use std::path::Path;

use serde_path_to_error::Segment;
use toml::Table;
use toml::Value;

use super::Config;
use super::ConfigError;
use super::mistake;

/// The prefix of every variable that overrides a key.
const PREFIX: &str = "HOTH__";

/// The variable with attributes of this process for traces, which OpenTelemetry
/// defines.
const RESOURCE_ATTRIBUTES: &str = "OTEL_RESOURCE_ATTRIBUTES";

/// Returns the attributes of this process for traces, if the environment has
/// any.
pub fn resource_attributes() -> Option<String> {
    std::env::vars().find_map(|(name, value)| (name == RESOURCE_ATTRIBUTES).then_some(value))
}

/// Returns the overrides in the environment, sorted by name.
pub fn overrides() -> Vec<(String, String)> {
    let mut found: Vec<_> = std::env::vars().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    found.sort();
    found
}

/// Reads a configuration, and applies `overrides` to it.
///
/// # Errors
///
/// [`ConfigError::Syntax`], with the line, for a mistake in the file;
/// [`ConfigError::Environment`] for a mistake in an override.
pub fn parse(
    path: &Path,
    text: &str,
    overrides: &[(String, String)],
) -> Result<Config, ConfigError> {
    let syntax = |error: toml::de::Error| ConfigError::Syntax {
        path: path.to_owned(),
        message: mistake::in_file(text, &error),
    };
    if overrides.is_empty() {
        return toml::from_str(text).map_err(syntax);
    }
    let mut table: Table = toml::from_str(text).map_err(syntax)?;
    let mut laid = Vec::new();
    for (variable, value) in overrides {
        let one = lay_over(&mut table, variable, value).map_err(|message| {
            let message = mistake::in_variable(variable, value, &message);
            ConfigError::Environment { variable: variable.clone(), message }
        })?;
        laid.push(one);
    }
    merged(table, &mut laid).map_err(|wrong| {
        let mut blamed: Vec<_> = laid.iter().filter(|one| wrong.at.starts_with(&one.at)).collect();
        if blamed.is_empty() {
            // A mistake in the file is reported first, because it has a line.
            if let Err(own) = toml::from_str::<Config>(text) {
                return syntax(own);
            }
            blamed.extend(&laid);
        }
        let variables: Vec<&str> = blamed.iter().map(|one| one.variable).collect();
        let values = overrides.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>();
        let message =
            mistake::in_variable(&variables.join(" "), &values.join("\n"), &wrong.message);
        ConfigError::Environment { variable: variables.join(", "), message }
    })
}

/// The keys that lead to a value.
type Keys = Vec<String>;

/// An override of a key of the file.
struct Laid<'a> {
    variable: &'a str,
    at: Keys,
    /// The text of the variable, if it was read as another type. Only the key
    /// knows the right type.
    text: Option<&'a str>,
}

/// A mistake in a table, and its place.
struct Wrong {
    at: Keys,
    message: String,
}

/// Reads a table with overrides. An override that looks like a number and that
/// its key refuses is read again as text: a `client_id` may be all digits.
fn merged(mut table: Table, laid: &mut [Laid<'_>]) -> Result<Config, Wrong> {
    loop {
        let wrong = match configuration(&table) {
            Ok(config) => return Ok(config),
            Err(wrong) => wrong,
        };
        // Taken, so that each override is read a second time at most.
        let again = laid.iter_mut().find(|one| one.at == wrong.at);
        let Some(text) = again.and_then(|one| one.text.take()) else { return Err(wrong) };
        replace(&mut table, &wrong.at, text);
        if configuration(&table).is_err_and(|still| still.at == wrong.at) {
            return Err(wrong);
        }
    }
}

fn configuration(table: &Table) -> Result<Config, Wrong> {
    serde_path_to_error::deserialize(Value::Table(table.clone())).map_err(|error| {
        let keys = error.path().iter().map_while(|segment| match segment {
            Segment::Map { key } => Some(key.clone()),
            Segment::Seq { .. } | Segment::Enum { .. } | Segment::Unknown => None,
        });
        Wrong { at: keys.collect(), message: error.inner().message().to_owned() }
    })
}

fn replace(table: &mut Table, at: &[String], text: &str) {
    let (key, sections) = at.split_last().expect("an override has a key");
    let inside = sections.iter().fold(table, |table, section| {
        table[section].as_table_mut().expect("the override went through tables")
    });
    inside.insert(key.clone(), Value::String(text.to_owned()));
}

fn lay_over<'a>(table: &mut Table, variable: &'a str, value: &'a str) -> Result<Laid<'a>, String> {
    let names: Vec<&str> = variable[PREFIX.len()..].split("__").collect();
    let (key, sections) = names.split_last().expect("splitting yields at least one part");
    if sections.is_empty() || names.iter().any(|name| name.is_empty()) {
        return Err("has the form HOTH__SECTION__KEY".to_owned());
    }
    let mut at = Vec::new();
    let mut current = table;
    for section in sections {
        let name = existing(current, section);
        at.push(name.clone());
        let entry = current.entry(name).or_insert_with(|| Value::Table(Table::new()));
        current = entry
            .as_table_mut()
            .ok_or_else(|| format!("`{section}` is not a table of single keys"))?;
    }
    let name = existing(current, key);
    at.push(name.clone());
    // The value in the file determines the type.
    let (read, text) = match (current.get(&name), typed(value)) {
        (_, quoted @ Some(Value::String(_))) => (quoted, None),
        (Some(Value::String(_)), _) | (_, None) => (None, None),
        (Some(_), typed) => (typed, None),
        (None, typed) => (typed, Some(value)),
    };
    current.insert(name, read.unwrap_or_else(|| Value::String(value.to_owned())));
    Ok(Laid { variable, at, text })
}

/// Returns the key as the file spells it, or else in lower case, like all
/// settings.
fn existing(table: &Table, name: &str) -> String {
    let known = table.keys().find(|key| key.eq_ignore_ascii_case(name));
    known.cloned().unwrap_or_else(|| name.to_ascii_lowercase())
}

/// Parses a number, a boolean, an array, a table or a quoted text in TOML.
/// Returns `None` for any other text.
fn typed(value: &str) -> Option<Value> {
    let mut parsed = toml::from_str::<Table>(&format!("v = {value}")).ok()?;
    // A text of several lines gives several keys.
    let value = parsed.remove("v").filter(|_| parsed.is_empty())?;
    (!value.is_datetime()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[queue]
path = "data/hoth.db"
[csp.CSP_A]
adapter = "atat"
base_url = "https://csp.example.com"
settings = { api_version = "1.3.1", pages = 3 }
[csp.CSP_A.oauth2]
token_url = "https://idp.example.com"
client_secret = { env = "CSP_A_SECRET" }
"#;

    fn parsed(overrides: &[(&str, &str)]) -> Result<Config, String> {
        let mut overrides = overrides.to_vec();
        if !overrides.iter().any(|(name, _)| name.ends_with("CLIENT_ID")) {
            overrides.push(("HOTH__CSP__CSP_A__OAUTH2__CLIENT_ID", "hoth"));
        }
        let overrides: Vec<_> = overrides
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        parse(Path::new("hoth.toml"), FILE, &overrides).map_err(|error| error.to_string())
    }

    /// Returns the one CSP of a configuration with these overrides.
    fn csp(overrides: &[(&str, &str)]) -> hoth_egress::Config {
        let config = parsed(overrides).expect("it can be read");
        config.csp.into_values().next().expect("there is one")
    }

    #[test]
    fn a_key_that_takes_text_takes_what_looks_like_something_else() {
        for (value, expected) in [
            ("hoth", "hoth"),
            ("1234567890", "1234567890"),
            ("007", "007"),
            ("0x10", "0x10"),
            ("1.50", "1.50"),
            ("true", "true"),
            ("inf", "inf"),
            ("2026-07-01", "2026-07-01"),
            ("[a]", "[a]"),
            ("[1]", "[1]"),
            ("1\nother = 2", "1\nother = 2"),
            (r#""1.3""#, "1.3"),
            ("'1.3'", "1.3"),
        ] {
            let csp = csp(&[("HOTH__CSP__CSP_A__OAUTH2__CLIENT_ID", value)]);
            assert_eq!(csp.oauth2.expect("it is there").client_id, expected, "{value}");
        }
    }

    #[test]
    fn several_at_once_are_each_what_their_keys_take() {
        let config = parsed(&[
            ("HOTH__ADAPTERS__DIRECTORY", "2026"),
            ("HOTH__CSP__CSP_A__ADAPTER", "7"),
            ("HOTH__CSP__CSP_A__OAUTH2__CLIENT_ID", "8"),
            ("HOTH__CSP__CSP_A__TIMEOUT_MS", "9"),
            ("HOTH__QUEUE__PATH", "10"),
            ("HOTH__REPLAY__RECORD", "false"),
        ])
        .expect("it can be read");
        let csp = config.csp.values().next().expect("there is one");
        assert_eq!(config.adapters.directory, Path::new("2026"));
        assert_eq!((csp.adapter.as_str(), csp.timeout_ms.get()), ("7", 9));
        assert_eq!(csp.oauth2.as_ref().expect("it is there").client_id, "8");
        assert!(
            matches!(config.queue.backend(), hoth_queue::Backend::Embedded { path, .. } if path == Path::new("10"))
        );
    }

    #[test]
    fn a_setting_is_what_the_file_has_there_and_else_as_toml_reads_it() {
        for (name, value, expected) in [
            ("API_VERSION", "1.3", r#"{"api_version":"1.3","pages":3}"#),
            ("API_VERSION", r#""1.3""#, r#"{"api_version":"1.3","pages":3}"#),
            ("PAGES", "4", r#"{"api_version":"1.3.1","pages":4}"#),
            ("LEVEL", "1.5", r#"{"api_version":"1.3.1","level":1.5,"pages":3}"#),
            ("LEVEL", r#""1.5""#, r#"{"api_version":"1.3.1","level":"1.5","pages":3}"#),
            ("LEVEL", "high", r#"{"api_version":"1.3.1","level":"high","pages":3}"#),
        ] {
            let variable = format!("HOTH__CSP__CSP_A__SETTINGS__{name}");
            assert_eq!(csp(&[(&variable, value)]).settings_json(), expected, "{name}={value}");
        }
    }

    #[test]
    fn what_no_reading_makes_good_is_told_with_its_variable() {
        for (variable, value, expected) in [
            (
                "HOTH__RETRY__ATTEMPTS",
                "0",
                "invalid value: integer `0`, expected a number, at least 1",
            ),
            (
                "HOTH__RETRY__ATTEMPTS",
                "x",
                r#"invalid type: string "x", expected a number, at least 1"#,
            ),
            (
                "HOTH__RETRY__MAX_BACKOFF_MS",
                "1.5",
                "invalid type: floating point `1.5`, expected a number of milliseconds, at least 0",
            ),
            ("HOTH__API__LISTEN", "80", "invalid type: integer `80`, expected socket address"),
            ("HOTH__API", "1", "has the form HOTH__SECTION__KEY"),
            ("HOTH__QUEUE__PATH__X", "1", "`PATH` is not a table of single keys"),
        ] {
            let told = parsed(&[(variable, value)]).expect_err("it is wrong");
            assert_eq!(told, format!("`{variable}` from the environment: {expected}"));
        }
    }
}
