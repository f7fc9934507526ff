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

/// The bounds of numbers as the documentation has them: key, least and most.
fn documented_bounds() -> Vec<(Vec<String>, i64, i64)> {
    let text = include_str!("../../../docs/configuration.md");
    let (_, section) = text.split_once("## Bounds of numbers\n").expect("the section is there");
    let rows = section.lines().skip_while(|line| !line.starts_with("| `"));
    let rows = rows.take_while(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, key, least, most, _] = cells[..] else { panic!("three cells: {row}") };
        // The names in the example.
        let key = key.trim_matches('`').replace("csp.NAME", "csp.CSP_A");
        let key = key.replace("limits.NAME", "limits.slowcloud");
        let number = |text: &str| text.parse().expect("a number");
        (key.split('.').map(str::to_owned).collect(), number(least), number(most))
    })
    .collect()
}

/// Returns the value at `path`.
fn at<'v>(table: &'v mut Table, path: &[String]) -> &'v mut Value {
    let (first, rest) = path.split_first().expect("a key");
    let value = &mut table[first.as_str()];
    match rest {
        [] => value,
        rest => at(value.as_table_mut().expect("a table"), rest),
    }
}

/// The example without the keys that exclude each other.
fn example_to_change() -> Table {
    let mut example = uncommented();
    let queue = example["queue"].as_table_mut().expect("a table");
    for key in ["region", "endpoint_url", "prefix"] {
        queue.remove(key);
    }
    queue["backend"] = "embedded".into();
    example
}

/// Returns the problems of the example with another number at `path`.
fn problems_with(path: &[String], number: i64) -> String {
    let mut changed = example_to_change();
    *at(&mut changed, path) = number.into();
    match Config::deserialize(changed) {
        Ok(config) => {
            let problems = check::problems(&config);
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn every_number_has_the_documented_bounds() {
    for (path, least, most) in documented_bounds() {
        let key = path.join(".");
        let refused = |number| format!("{key}: must be {least} to {most}, not {number}");
        for good in [least, most] {
            let problems = problems_with(&path, good);
            assert!(!problems.contains(&format!("{key}: must be {least} to")), "{problems}");
        }
        let problems = problems_with(&path, most + 1);
        assert!(problems.contains(&refused(most + 1)), "{key}: {problems}");
        let problems = problems_with(&path, least - 1);
        // The parser refuses what the type cannot hold.
        let refused = problems.contains(&refused(least - 1)) || problems.contains("invalid value");
        assert!(refused, "{key}: {problems}");
    }
}

#[test]
fn the_documentation_has_the_bounds_of_every_number() {
    fn numbers(table: &Table, path: &[String], found: &mut BTreeSet<String>) {
        for (key, value) in table {
            let path = [path, std::slice::from_ref(key)].concat();
            match value {
                Value::Table(inner) => numbers(inner, &path, found),
                Value::Integer(_) | Value::Float(_) => {
                    found.insert(path.join("."));
                }
                Value::String(_) | Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) => {}
            }
        }
    }
    let mut found = BTreeSet::new();
    numbers(&uncommented(), &[], &mut found);
    // A fraction, or one of a few numbers: in the text below the table.
    for other in [
        "api.cost_accepted_status",
        "polling.deadline_hours",
        "provisioning.async_failure_code",
        "replay.slower_ratio",
        "telemetry.sample_ratio",
    ] {
        assert!(found.remove(other), "{other}");
    }
    let documented: BTreeSet<String> =
        documented_bounds().into_iter().map(|(path, _, _)| path.join(".")).collect();
    assert_eq!(found, documented);
}

#[test]
fn the_smaller_of_two_settings_does_not_exceed_the_larger_one() {
    for (smaller, larger) in [
        ("csp.CSP_A.breaker.open_ms", "csp.CSP_A.breaker.max_open_ms"),
        ("csp.CSP_A.breaker.max_open_ms", "csp.CSP_A.breaker.max_hold_ms"),
    ] {
        let path = |key: &str| key.split('.').map(str::to_owned).collect::<Vec<_>>();
        let limit = at(&mut example_to_change(), &path(larger)).as_integer().expect("a number");
        let name = path(larger).pop().expect("a key");
        let problems = problems_with(&path(smaller), limit + 1);
        let expected = format!("{smaller}: must be at most `{name}`, {limit}");
        assert!(problems.contains(&expected), "{problems}");
        assert!(!problems_with(&path(smaller), limit).contains("must be at most"), "{smaller}");
    }
}
