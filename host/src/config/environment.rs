//! Overrides from the environment: `HOTH__SECTION__KEY`.

use std::path::Path;

use toml::Table;
use toml::Value;

use super::Config;
use super::ConfigError;

/// The beginning of every variable that overrides a key.
const PREFIX: &str = "HOTH__";

/// The overrides that the environment holds, sorted by name.
pub fn overrides() -> Vec<(String, String)> {
    let mut found: Vec<_> = std::env::vars().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    found.sort();
    found
}

/// Reads a configuration, with `overrides` laid over it.
///
/// # Errors
///
/// [`ConfigError::Syntax`] with the line, for what the file says, and
/// [`ConfigError::Environment`] for what an override says.
pub fn parse(
    path: &Path,
    text: &str,
    overrides: &[(String, String)],
) -> Result<Config, ConfigError> {
    let syntax = |error: toml::de::Error| ConfigError::Syntax {
        path: path.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    };
    if overrides.is_empty() {
        return toml::from_str(text).map_err(syntax);
    }
    let mut table: Table = toml::from_str(text).map_err(syntax)?;
    for (variable, value) in overrides {
        lay_over(&mut table, variable, value)
            .map_err(|message| ConfigError::Environment { variable: variable.clone(), message })?;
    }
    table.try_into().map_err(|merged: toml::de::Error| {
        // The file's own mistake is worth more: it has a line.
        match toml::from_str::<Config>(text) {
            Err(own) => syntax(own),
            Ok(_) => ConfigError::Environment {
                variable: overrides
                    .iter()
                    .map(|(name, _)| name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
                message: merged.message().to_owned(),
            },
        }
    })
}

fn lay_over(table: &mut Table, variable: &str, value: &str) -> Result<(), String> {
    let names: Vec<&str> = variable[PREFIX.len()..].split("__").collect();
    let (key, sections) = names.split_last().expect("splitting yields at least one part");
    if sections.is_empty() || names.iter().any(|name| name.is_empty()) {
        return Err("has the form HOTH__SECTION__KEY".to_owned());
    }
    let mut current = table;
    for section in sections {
        let name = existing(current, section);
        let entry = current.entry(name).or_insert_with(|| Value::Table(Table::new()));
        current = entry
            .as_table_mut()
            .ok_or_else(|| format!("`{section}` is not a table of single keys"))?;
    }
    let name = existing(current, key);
    current.insert(name, typed(value));
    Ok(())
}

/// The key as the file spells it, else in lower case, as all settings are.
fn existing(table: &Table, name: &str) -> String {
    let known = table.keys().find(|key| key.eq_ignore_ascii_case(name));
    known.cloned().unwrap_or_else(|| name.to_ascii_lowercase())
}

/// A number, a boolean, an array or a table where it reads as one in TOML;
/// else a string.
fn typed(value: &str) -> Value {
    let parsed = toml::from_str::<Table>(&format!("v = {value}"));
    let parsed = parsed.ok().and_then(|mut table| table.remove("v"));
    match parsed {
        Some(
            typed @ (Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Array(_)
            | Value::Table(_)
            | Value::String(_)),
        ) => typed,
        Some(Value::Datetime(_)) | None => Value::String(value.to_owned()),
    }
}
