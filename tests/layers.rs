//! Holds the floors of the house: which module may name which, and where a
//! framework may be named at all.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// What each module of the host may name, besides itself.
const FLOORS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("failpoint", &[]),
    ("clock", &["domain"]),
    ("secret", &[]),
    ("queue", &["clock", "domain", "failpoint"]),
    ("workflow", &["domain"]),
    ("adapter", &["domain"]),
    ("csp", &["clock", "domain", "failpoint", "secret", "workflow"]),
    ("replay", &["adapter", "clock", "domain"]),
    ("registry", &["adapter", "clock", "domain", "failpoint", "replay"]),
    ("listener", &[]),
    (
        "worker",
        &[
            "adapter",
            "clock",
            "csp",
            "domain",
            "failpoint",
            "queue",
            "registry",
            "replay",
            "workflow",
        ],
    ),
    ("auth", &["domain", "secret"]),
    ("audit", &["auth", "domain"]),
    ("api", &["audit", "auth", "clock", "domain", "failpoint", "listener", "queue", "secret"]),
    (
        "admin",
        &["api", "audit", "auth", "clock", "domain", "queue", "registry", "replay", "worker"],
    ),
    (
        "config",
        &[
            "adapter", "api", "auth", "csp", "domain", "listener", "queue", "registry", "replay",
            "workflow",
        ],
    ),
    ("reload", &["audit", "auth", "config", "domain", "listener"]),
    ("telemetry", &["audit"]),
    ("descriptors", &[]),
    (
        "app",
        &[
            "adapter",
            "admin",
            "api",
            "auth",
            "clock",
            "config",
            "csp",
            "descriptors",
            "domain",
            "listener",
            "queue",
            "registry",
            "reload",
            "replay",
            "telemetry",
            "worker",
        ],
    ),
    (
        "cli",
        &[
            "adapter",
            "app",
            "clock",
            "config",
            "csp",
            "domain",
            "failpoint",
            "registry",
            "replay",
            "telemetry",
            "workflow",
        ],
    ),
    ("main", &[]),
    ("lib", &[]),
];

/// The only places where a crate may be named.
const HOMES: &[(&str, &[&str])] = &[
    ("anyhow", &["main", "app", "cli"]),
    ("aws_config", &["queue/sqs"]),
    ("aws_sdk_sqs", &["queue/sqs"]),
    ("aws_smithy_http_client", &["queue/sqs"]),
    ("axum", &["admin", "api"]),
    ("minisign_verify", &["registry"]),
    ("notify", &["registry"]),
    ("oauth2", &["csp"]),
    ("reqwest", &["cli", "csp"]),
    ("rusqlite", &["queue/embedded"]),
    ("rustix", &["adapter/compile", "descriptors", "failpoint"]),
    // A test of the way out plays a CSP that speaks TLS.
    ("tokio_rustls", &["csp/tests", "listener"]),
    ("wasmtime", &["adapter"]),
    ("wasmtime_wasi", &["adapter"]),
];

struct Source {
    /// Relative to `src`, without `.rs`.
    path: String,
    /// Without comments.
    text: String,
}

impl Source {
    /// The top-level module that the file belongs to.
    fn module(&self) -> &str {
        self.path.split('/').next().expect("splitting yields at least one part")
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 30, "only {} sources were found", files.len());
    files
        .into_iter()
        .map(|file| {
            let relative = file.strip_prefix(&root).expect("found below the root");
            let text = fs::read_to_string(&file).expect("a source can be read");
            Source {
                path: relative.with_extension("").to_string_lossy().into_owned(),
                text: text.lines().map(without_comment).collect::<Vec<_>>().join("\n"),
            }
        })
        .collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a source folder can be read") {
        let path = entry.expect("a folder entry can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn without_comment(line: &str) -> &str {
    match line.trim_start().starts_with("//") {
        true => "",
        false => line,
    }
}

/// Every `prefix::name` in `text`, as `name`.
fn names_after<'a>(text: &'a str, prefix: &str) -> BTreeSet<&'a str> {
    text.match_indices(prefix)
        .filter(|(at, _)| !text[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        .map(|(at, _)| {
            let rest = &text[at + prefix.len()..];
            let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_'));
            &rest[..end.unwrap_or(rest.len())]
        })
        .collect()
}

#[test]
fn every_module_names_only_the_floors_below_it() {
    let floors: BTreeMap<&str, &[&str]> = FLOORS.iter().copied().collect();
    let mut broken = Vec::new();
    for source in sources() {
        let module = source.module();
        let Some(allowed) = floors.get(module) else {
            broken.push(format!("{}: the module `{module}` has no floor", source.path));
            continue;
        };
        for named in names_after(&source.text, "crate::") {
            let lower = named.chars().all(|c| c.is_lowercase() || c == '_');
            if lower && named != module && !allowed.contains(&named) {
                broken.push(format!("{}: `{module}` names `{named}`", source.path));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_framework_stays_in_its_home() {
    let mut broken = Vec::new();
    for source in sources() {
        for (name, homes) in HOMES {
            let at_home = homes
                .iter()
                .any(|home| source.path == *home || source.path.starts_with(&format!("{home}/")));
            let named = !names_after(&source.text, &format!("{name}::")).is_empty();
            if named && !at_home {
                broken.push(format!("{}: names `{name}`", source.path));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_source_says_what_lives_in_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    for file in files {
        let text = fs::read_to_string(&file).expect("a source can be read");
        assert!(text.starts_with("//! "), "{} has no first sentence", file.display());
    }
}

/// Every test that the tables of a text name: in the last column, which has
/// this head.
fn tests_named_in<'a>(text: &'a str, head: &str) -> Vec<&'a str> {
    let mut named = Vec::new();
    let mut of_tests = false;
    for line in text.lines() {
        let row = line.strip_prefix("| ").and_then(|row| row.strip_suffix(" |"));
        match row.and_then(|row| row.rsplit_once(" | ")) {
            Some((_, last)) if last == head => of_tests = true,
            Some((_, last)) if of_tests => {
                named.extend(last.split(", ").map(|name| name.trim_matches('`')));
            }
            Some(_) => {}
            // The line between head and body is no row, and ends nothing.
            None => of_tests &= line.starts_with('|'),
        }
    }
    named
}

#[track_caller]
fn every_named_test_exists(document: &str, head: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = fs::read_to_string(root.join(document)).expect("it can be read");
    let mut files = Vec::new();
    for folder in ["host/src", "tests", "plugins"] {
        collect(&root.join(folder), &mut files);
    }
    let sources: Vec<String> =
        files.iter().map(|file| fs::read_to_string(file).expect("it can be read")).collect();
    let names = tests_named_in(&text, head);
    assert!(names.len() > 10, "{document} names only {} tests", names.len());
    for name in names {
        let definition = format!("fn {name}(");
        assert!(
            sources.iter().any(|source| source.contains(&definition)),
            "{document} names the test `{name}`, which does not exist"
        );
    }
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    every_named_test_exists("ARCHITECTURE.md", "the test that guards it");
}

#[test]
fn every_defence_names_a_test_that_exists() {
    every_named_test_exists("docs/threat-model.md", "the test that shows it");
}
