//! Rules over the whole configuration, and the example that shows it.

use std::collections::BTreeSet;

use serde::Deserialize as _;
use toml::Table;
use toml::Value;

use super::Config;
use super::check;

const EXAMPLE: &str = include_str!("../../../hoth.example.toml");

/// The smallest valid configuration.
const LEAST: &str = r#"
[queue]
backend = "embedded"
path = "data/hoth.db"
[csp.CSP_A]
adapter = "atat"
base_url = "https://csp-a.example.com/atat"
settings = { api_version = "1.3.1" }
[csp.CSP_A.oauth2]
token_url = "https://idp.example.com/oauth2/token"
client_id = "hoth"
client_secret = { env = "CSP_A_CLIENT_SECRET" }
"#;

#[test]
fn the_example_has_the_defaults() {
    let [example, least] = [EXAMPLE, LEAST].map(|text| {
        let config: Config = toml::from_str(text).expect("it can be read");
        format!("{config:#?}")
    });
    assert_eq!(example, least);
}

/// The example with all that it leaves in comments, but for what would stand
/// there a second time.
fn uncommented() -> Table {
    let mut text = String::new();
    let mut seen = BTreeSet::new();
    for line in EXAMPLE.lines() {
        let inside = line.strip_prefix("# ").unwrap_or(line);
        let key = inside.split_once(" = ").map(|(key, _)| key);
        if inside.starts_with('[') {
            seen.clear();
        } else if key.is_none_or(|key| key.contains(' ') || !seen.insert(key)) {
            continue;
        }
        text = text + inside + "\n";
    }
    let text = text.replace("sha256 = \"…\"", &format!("sha256 = \"{}\"", "0".repeat(64)));
    let example: Table = toml::from_str(&text).expect("what is in comments is TOML");
    Config::deserialize(example.clone()).expect("it can be read");
    example
}

/// The first of several tables, or the one that there is.
fn first(value: &mut Value) -> &mut Value {
    if value.is_array() { &mut value[0] } else { value }
}

/// The keys that the table at `path` in `whole` may have; none where it may
/// have any.
fn known(whole: &Table, path: &[String]) -> BTreeSet<String> {
    let mut changed = Value::Table(whole.clone());
    let mut table = &mut changed;
    for key in path {
        table = &mut first(table)[key.as_str()];
    }
    let table = first(table);
    table.as_table_mut().expect("a table").insert("no-such-key".to_owned(), Value::from(1));
    let Err(error) = Config::deserialize(changed) else { return BTreeSet::new() };
    let message = error.message();
    let Some(expected) = message.strip_prefix("unknown field `no-such-key`, expected ") else {
        // Where names are free, 1 is no adapter's limits or policy.
        assert!(message.starts_with("invalid type: "), "{path:?}: {message}");
        return BTreeSet::new();
    };
    // `a`, `b`, …
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Names the keys that the tables at and below `path` lack.
fn missing(whole: &Table, table: &Table, path: &[String], found: &mut Vec<String>) {
    // Secrets have one of two keys.
    if table.contains_key("env") || table.contains_key("file") {
        return;
    }
    for key in known(whole, path) {
        if !table.contains_key(&key) {
            found.push([path, &[key]].concat().join("."));
        }
    }
    for (key, value) in table {
        let value = value.as_array().and_then(|items| items.first()).unwrap_or(value);
        if let Value::Table(inner) = value {
            missing(whole, inner, &[path, std::slice::from_ref(key)].concat(), found);
        }
    }
}

#[test]
fn the_example_has_every_key_that_there_is() {
    let example = uncommented();
    assert!(known(&example, &["api".to_owned()]).contains("listen"));
    let mut found = Vec::new();
    missing(&example, &example, &[], &mut found);
    // Kinds of credentials: one is shown, the others are those of the CSP.
    found.retain(|key| !key.starts_with("csp.CSP_A.credentials.billing."));
    assert_eq!(found, [""; 0]);
}

#[test]
fn the_two_listeners_need_two_addresses() {
    for (api, admin, clash) in [
        ("127.0.0.1:8080", "127.0.0.1:8081", false),
        ("127.0.0.1:8080", "127.0.0.2:8080", false),
        ("127.0.0.1:0", "127.0.0.1:0", false),
        ("[::1]:8080", "127.0.0.1:8080", false),
        ("127.0.0.1:8080", "127.0.0.1:8080", true),
        ("0.0.0.0:8080", "127.0.0.1:8080", true),
        ("127.0.0.1:8080", "0.0.0.0:8080", true),
    ] {
        let text = format!("[api]\nlisten = '{api}'\n[admin]\nlisten = '{admin}'\n{LEAST}");
        let config: Config = toml::from_str(&text).expect("it can be read");
        let told = check::problems(&config).iter().any(|problem| {
            problem.to_string() == format!("admin.listen: {admin} is taken by `api.listen`, {api}")
        });
        assert_eq!(told, clash, "{api} {admin}");
    }
}
