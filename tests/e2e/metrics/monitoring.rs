//! The rules and dashboards of `docs/monitoring`, held to the metrics of a run.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::path::Path;
use std::path::PathBuf;

use serde_json::Value;

use super::fixture;
use super::fixture::busy_host;
use super::fixture::documented;
use super::prometheus::Prometheus;
use super::promtool;

/// Labels that Prometheus adds.
const ADDED_LABELS: [&str; 3] = ["instance", "job", "le"];

/// Words in front of the labels that an operator of PromQL works with.
const GROUPING: [&str; 5] = ["by", "without", "on", "ignoring", "group_left"];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/monitoring")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).expect("a file can be read")
}

/// Returns the part behind `key` in each line of a YAML file that has it.
fn values<'a>(yaml: &'a str, key: &str) -> Vec<&'a str> {
    yaml.lines().filter_map(|line| Some(line.split_once(key)?.1.trim())).collect()
}

#[test]
fn alerts_fire_from_their_histories_and_not_on_a_healthy_host() {
    promtool::succeeds(&["check", "rules"], &folder().join("alerts.yml"));
    promtool::succeeds(&["test", "rules"], &folder().join("alerts_test.yml"));
    let (alerts, tests) = (read("alerts.yml"), read("alerts_test.yml"));
    for alert in values(&alerts, "- alert: ") {
        let fires = format!("exp_samples: [{{labels: '{{alertname=\"{alert}\"}}', value: 1}}]");
        assert!(tests.contains(&fires), "no test fires {alert}");
    }
}

#[test]
fn every_alert_says_what_to_do() {
    let text = read("alerts.yml");
    let alerts = values(&text, "- alert: ");
    assert!(alerts.len() >= 20, "{alerts:?}");
    for key in ["severity: ", "summary: ", "description: "] {
        assert_eq!(values(&text, key).len(), alerts.len(), "{key}");
    }
    let books: Vec<&str> = values(&text, "runbook_url: ")
        .into_iter()
        .filter_map(|url| url.rsplit('/').next()?.strip_suffix(".md"))
        .collect();
    assert_eq!(books, alerts, "each alert names its own page, in order");
    let pages = std::fs::read_dir(folder().join("../runbooks")).expect("a folder can be read");
    let pages: BTreeSet<String> = pages
        .map(|page| page.expect("an entry can be read").path())
        .map(|page| page.file_stem().expect("a page has a name").to_string_lossy().into_owned())
        .collect();
    assert_eq!(pages, alerts.iter().map(|alert| (*alert).to_owned()).collect());
    for page in pages {
        let text = read(&format!("../runbooks/{page}.md"));
        for part in [&format!("# {page}\n"), "\n## What to look at\n", "\n## Remedy\n"] {
            assert!(text.contains(part), "{page} lacks {part:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_answers_every_query_of_rules_and_dashboards_from_a_real_run() {
    let busy = busy_host().await;
    let target = busy.host.admin();
    let target = target.strip_prefix("http://").expect("the admin API has no TLS here");
    let prometheus = Prometheus::scraping(target, &folder().join("alerts.yml")).await;
    let known = documented();
    for rule in prometheus.evaluated_rules().await {
        assert_eq!(rule["health"], "ok", "{rule}");
        let query = rule["query"].as_str().expect("a rule has a query");
        check_names(query, &known);
        // Nothing is wrong for as long as an alert waits.
        assert_ne!(rule["state"], "firing", "{rule}");
    }
    for name in ["service.json", "internals.json"] {
        let dashboard: Value = serde_json::from_str(&read(name)).expect("a dashboard is JSON");
        for (title, query) in queries(&dashboard) {
            let query = with_values(&query);
            let names = check_names(&query, &known);
            let found = prometheus.query(&query).await;
            let found = found.unwrap_or_else(|error| panic!("{name}, {title}: {query}: {error}"));
            let may_be_empty = query.contains("> 0")
                || names.iter().any(|name| fixture::MAY_BE_ABSENT.contains(&name.as_str()));
            assert!(may_be_empty || !found.is_empty(), "{name}, {title}: no data: {query}");
        }
    }
}

#[test]
fn dashboards_have_fixed_ids_units_and_links() {
    for (name, uid, other) in [
        ("service.json", "hoth-service", "/d/hoth-internals"),
        ("internals.json", "hoth-internals", "/d/hoth-service"),
    ] {
        let dashboard: Value = serde_json::from_str(&read(name)).expect("a dashboard is JSON");
        assert_eq!(dashboard["uid"], uid);
        assert_eq!(dashboard["links"][0]["url"], other);
        assert_eq!(dashboard["templating"]["list"][0]["name"], "datasource");
        let mut ids = BTreeSet::new();
        for panel in dashboard["panels"].as_array().expect("a dashboard has panels") {
            assert!(ids.insert(panel["id"].as_u64()), "{name}: {panel}");
            if panel["type"] == "row" {
                continue;
            }
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{name}: {panel}");
            assert!(panel["description"].is_string(), "{name}: {panel}");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name}: {panel}");
        }
    }
}

/// Returns the queries of a dashboard, with the titles of their panels: those of
/// panels, annotations and variables.
fn queries(dashboard: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut queries = Vec::new();
    for panel in list(&dashboard["panels"]) {
        for target in list(&panel["targets"]) {
            queries.push((text(&panel["title"]), text(&target["expr"])));
        }
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        queries.push((text(&annotation["name"]), text(&annotation["expr"])));
    }
    for variable in list(&dashboard["templating"]["list"]) {
        // `label_values(metric, label)` is Grafana's own function.
        let query = text(&variable["definition"]);
        if let Some((metric, label)) =
            query.strip_prefix("label_values(").and_then(|rest| rest.split_once(", "))
        {
            let query = format!("count by ({}) ({metric})", label.trim_end_matches(')'));
            queries.push((text(&variable["name"]), query));
        }
    }
    assert!(queries.len() > 10, "{queries:?}");
    queries
}

/// Puts values in the place of the variables of a dashboard.
fn with_values(query: &str) -> String {
    let query = query.replace("$__rate_interval", "1m").replace("$__range", "1h");
    query.replace("$csp", ".*").replace("$instance", ".*")
}

/// Checks that every metric and label of a query is documented, and returns the
/// metrics.
fn check_names(query: &str, known: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut metrics = BTreeSet::new();
    let mut labels: BTreeSet<String> = ADDED_LABELS.map(str::to_owned).into();
    let words = words(query);
    for (word, _) in &words {
        if word.starts_with("hoth_") || word.starts_with("process_") {
            let base = ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|suffix| {
                    word.strip_suffix(suffix).filter(|base| known.contains_key(*base))
                })
                .unwrap_or(word);
            let of_metric = known.get(base);
            labels.extend(of_metric.unwrap_or_else(|| panic!("{base} in {query}")).clone());
            metrics.insert(base.to_owned());
        }
    }
    for (at, (word, next)) in words.iter().enumerate() {
        let is_matcher = matches!(next, '=' | '!') && !word.starts_with("hoth_");
        if is_matcher {
            assert!(labels.contains(word), "label {word} in {query}");
        }
        if GROUPING.contains(&word.as_str()) {
            let grouping = format!("{word} (");
            let lists = query.split(grouping.as_str()).skip(1);
            for list in lists.filter_map(|rest| rest.split(')').next()) {
                for label in list.split(',').map(str::trim).filter(|label| !label.is_empty()) {
                    assert!(labels.contains(label), "label {label} in {query}, word {at}");
                }
            }
        }
    }
    metrics
}

/// Returns the words of a query outside of texts, each with the next character
/// behind it that is no space.
fn words(query: &str) -> Vec<(String, char)> {
    let outside: String = query.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
    let mut words = Vec::new();
    let mut rest = outside.as_str();
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_') {
        let word = &rest[start..];
        let end = word.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let (word, behind) = word.split_at(end.unwrap_or(word.len()));
        words.push((word.to_owned(), behind.trim_start().chars().next().unwrap_or(' ')));
        rest = behind;
    }
    words
}

#[test]
fn unknown_names_are_found() {
    let known = documented();
    let fails = |query: &str| {
        let (query, known) = (query.to_owned(), known.clone());
        std::panic::catch_unwind(move || check_names(&query, &known)).is_err()
    };
    assert!(!fails("sum by (csp) (rate(hoth_job_seconds_bucket{csp=~\"A|b_c\"}[5m]))"));
    assert!(fails("hoth_no_such_metric"));
    assert!(fails("hoth_ready{color=\"red\"}"));
    assert!(fails("sum by (color) (hoth_ready)"));
    assert!(fails("hoth_csp_paused unless on (csp, color) hoth_breaker_open"));
    assert!(!fails("hoth_csp_paused == 1"));
}
