//! Checks the layering: the modules and crates that each module may name, and
//! the home of each framework. Also checks the documentation.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// The crates of the host below package `hoth`, and which of them each one may
/// depend on. The compiler holds this: a crate cannot name what its manifest
/// does not list.
const CRATES: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("platform", &["core"]),
    ("queue", &["core", "platform"]),
    ("runtime", &["core", "platform"]),
    ("egress", &["core", "platform"]),
    ("trail", &["core", "platform"]),
];

/// The modules of package `hoth`, and which of its other modules each one may
/// name.
const LAYERS: &[(&str, &[&str])] = &[
    ("job_status", &[]),
    ("observe", &[]),
    ("metrics", &["observe"]),
    ("activity", &["observe"]),
    ("supervisor", &[]),
    ("traces", &["metrics", "observe"]),
    ("replay", &["metrics", "supervisor"]),
    ("registry", &["metrics", "replay", "traces"]),
    ("http", &["metrics"]),
    ("worker", &["job_status", "metrics", "observe", "registry", "replay", "supervisor", "traces"]),
    ("api", &["http", "job_status", "metrics", "observe", "traces"]),
    (
        "admin",
        &["activity", "http", "job_status", "metrics", "observe", "registry", "replay", "worker"],
    ),
    ("peers", &["admin", "job_status"]),
    (
        "console",
        &[
            "activity",
            "admin",
            "http",
            "job_status",
            "metrics",
            "observe",
            "peers",
            "registry",
            "replay",
            "worker",
        ],
    ),
    ("config", &["admin", "api", "console", "http", "registry", "replay", "traces", "worker"]),
    ("reload", &["config", "http", "metrics"]),
    ("telemetry", &["http", "metrics", "supervisor"]),
    (
        "app",
        &[
            "activity",
            "admin",
            "api",
            "config",
            "console",
            "http",
            "job_status",
            "metrics",
            "observe",
            "peers",
            "registry",
            "reload",
            "replay",
            "supervisor",
            "telemetry",
            "traces",
            "worker",
        ],
    ),
    ("cli", &["app", "config", "registry", "replay", "telemetry"]),
    ("main", &[]),
    ("lib", &[]),
];

/// Crates that the pure crate must not depend on: it does no I/O.
const NOT_IN_CORE: &[&str] = &["tokio", "reqwest", "rusqlite", "wasmtime", "axum", "tracing"];

/// The only places where a crate may be named.
const HOMES: &[(&str, &[&str])] = &[
    ("anyhow", &["src/main", "src/app", "src/cli"]),
    ("aws_config", &["queue/src/sqs"]),
    ("aws_sdk_sqs", &["queue/src/sqs"]),
    ("aws_sigv4", &["egress/src/auth/sign"]),
    ("aws_smithy_http_client", &["queue/src/sqs"]),
    ("axum", &["src/admin", "src/api", "src/console", "src/http"]),
    ("maud", &["src/console"]),
    // Tests hold the API to its description.
    ("jsonschema", &["src/api/tests", "src/registry"]),
    ("metrics_exporter_prometheus", &["src/metrics"]),
    ("minisign_verify", &["src/registry"]),
    ("notify", &["src/registry"]),
    ("prost", &["src/traces"]),
    ("hyper_rustls", &["egress/src/transport"]),
    ("reqwest", &["src/cli", "src/peers", "src/traces"]),
    ("roxmltree", &["egress/src/auth"]),
    ("rusqlite", &["queue/src/embedded", "trail/src"]),
    (
        "rustix",
        &[
            "runtime/src/compile",
            "runtime/src/machine",
            "platform/src/clock",
            "platform/src/descriptors",
            "platform/src/disk",
            "platform/src/failpoint",
            "platform/src/process",
            "queue/src/embedded/other_writers",
        ],
    ),
    // A test of the way out plays a CSP that speaks TLS.
    ("tokio_rustls", &["egress/src/tests", "src/http/listener"]),
    ("wasmtime", &["runtime/src"]),
    ("wasmtime_wasi", &["runtime/src"]),
    ("x509_parser", &["platform/src/certificate"]),
];

struct Source {
    /// The path relative to `host`, without `.rs`.
    path: String,
    /// The source without comments.
    text: String,
}

impl Source {
    /// Returns the top-level module of package `hoth` that the file belongs to,
    /// or `None` if the file belongs to another crate.
    fn module(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.split('/').next()
    }
}

/// Returns the source folder of each crate of the host.
fn source_folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let crates = CRATES.iter().map(|(name, _)| root.join(name).join("src"));
    crates.chain([root.join("src")]).collect()
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in source_folders() {
        collect(&folder, &mut files);
    }
    assert!(files.len() > 30, "only {} sources were found", files.len());
    files
        .into_iter()
        .map(|file| {
            let relative = file.strip_prefix(root).expect("found below the root");
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

/// Returns every `prefix::name` in `text`, as `name`.
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
fn every_module_names_only_the_layers_below_it() {
    let layers: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    let mut broken = Vec::new();
    for source in sources() {
        let Some(module) = source.module() else { continue };
        let Some(allowed) = layers.get(module) else {
            broken.push(format!("{}: the module `{module}` has no layer", source.path));
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
fn every_crate_depends_only_on_the_crates_below_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, allowed) in CRATES {
        let manifest = fs::read_to_string(root.join(name).join("Cargo.toml"));
        let manifest = manifest.expect("a manifest can be read");
        let dependencies = manifest.lines().filter_map(|line| line.split(['.', ' ']).next());
        for dependency in dependencies {
            if let Some(other) = dependency.strip_prefix("hoth-") {
                assert!(allowed.contains(&other), "{name} must not depend on {other}");
            }
            assert!(
                *name != "core" || !NOT_IN_CORE.contains(&dependency),
                "core must not depend on {dependency}"
            );
        }
    }
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
    let mut files = Vec::new();
    for folder in source_folders() {
        collect(&folder, &mut files);
    }
    for file in files {
        let text = fs::read_to_string(&file).expect("a source can be read");
        assert!(text.starts_with("//! "), "{} has no first sentence", file.display());
    }
}

/// Returns the path of a file or folder of the repository.
fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Returns every test that a page names: each name in backticks after `Tests:`,
/// up to the next list item or blank line, and in the last column of tables
/// whose heading is "tests".
fn tests_named_in(text: &str) -> Vec<&str> {
    let mut named = Vec::new();
    let (mut in_tests, mut in_table) = (false, false);
    for line in text.lines().map(str::trim) {
        let row = line.strip_prefix('|').and_then(|row| row.strip_suffix('|'));
        let last = row.and_then(|row| row.rsplit('|').next()).map(str::trim);
        in_table = last == Some("tests") || in_table && last.is_some();
        if let (true, Some(cell)) = (in_table, last) {
            // A part of the crash test is one word.
            named.extend(cell.split('`').skip(1).step_by(2).filter(|name| name.contains('_')));
        }
        let names = line.strip_prefix("Tests:");
        in_tests = names.is_some() || in_tests && !line.is_empty() && !line.starts_with("- ");
        if in_tests {
            named.extend(names.unwrap_or(line).split('`').skip(1).step_by(2));
        }
    }
    named
}

#[track_caller]
fn every_named_test_exists(document: &str) {
    let text = fs::read_to_string(in_repository(document)).expect("it can be read");
    let mut files = Vec::new();
    for folder in ["host", "tests", "plugins"] {
        collect(&in_repository(folder), &mut files);
    }
    let sources: Vec<String> =
        files.iter().map(|file| fs::read_to_string(file).expect("it can be read")).collect();
    let names = tests_named_in(&text);
    assert!(names.len() > 10, "{document} names only {} tests", names.len());
    let missing: Vec<&str> = names
        .into_iter()
        .filter(|name| {
            let definition = format!("fn {name}(");
            !sources.iter().any(|source| source.contains(&definition))
        })
        .collect();
    assert!(missing.is_empty(), "{document} names tests that do not exist: {missing:?}");
}

#[test]
fn the_architecture_states_the_layers() {
    let page = fs::read_to_string(in_repository("ARCHITECTURE.md")).expect("it can be read");
    let (_, rest) = page.split_once("```layers\n").expect("the page has a block of layers");
    let (block, _) = rest.split_once("```").expect("the block ends");
    let mut stated: Vec<&str> = block.lines().filter(|line| !line.is_empty()).collect();
    let mut held: Vec<String> = CRATES
        .iter()
        .chain(LAYERS)
        // The roots of the package name every module.
        .filter(|(name, _)| !["main", "lib"].contains(name))
        .map(|(name, lower)| match lower.is_empty() {
            true => format!("{name}: nothing"),
            false => format!("{name}: {}", lower.join(", ")),
        })
        .collect();
    stated.sort_unstable();
    held.sort_unstable();
    assert_eq!(stated, held, "ARCHITECTURE.md states other layers than this file");
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    every_named_test_exists("docs/invariants.md");
}

#[test]
fn every_defence_names_a_test_that_exists() {
    every_named_test_exists("docs/threat-model.md");
}

#[test]
fn every_failure_names_a_test_that_exists() {
    every_named_test_exists("docs/failures.md");
}

/// The longest line of prose in Markdown, in characters.
const COLUMNS_MAX: usize = 100;

/// One page of the documentation.
struct Page {
    /// The path relative to the root of the repository.
    path: PathBuf,
    text: String,
}

impl Page {
    /// Returns the numbered lines outside of fenced code blocks.
    fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut in_code = false;
        self.text.lines().enumerate().filter_map(move |(index, line)| {
            let fence = line.trim_start().starts_with("```");
            in_code ^= fence;
            (!in_code && !fence).then_some((index + 1, line))
        })
    }

    /// Returns the anchors of the headings, as GitHub makes them.
    fn anchors(&self) -> BTreeSet<String> {
        self.prose()
            .filter(|(_, line)| line.starts_with('#'))
            .map(|(_, line)| {
                let heading = line.trim_start_matches('#').trim().to_lowercase();
                let kept = heading.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
                kept.map(|c| if c == ' ' { '-' } else { c }).collect()
            })
            .collect()
    }
}

/// Returns every page of the documentation, from the whole repository.
fn pages() -> Vec<Page> {
    let root = in_repository("");
    let mut files = Vec::new();
    collect_pages(&root, &mut files);
    assert!(files.len() > 10, "only {} pages were found", files.len());
    files
        .into_iter()
        .map(|file| Page {
            path: file.strip_prefix(&root).expect("found below the root").to_owned(),
            text: fs::read_to_string(&file).expect("a page can be read"),
        })
        .collect()
}

/// Finds Markdown below `directory`, except in hidden and generated folders.
fn collect_pages(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a folder can be read") {
        let path = entry.expect("a folder entry can be read").path();
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                collect_pages(&path, files);
            }
        } else if name.ends_with(".md") {
            files.push(path);
        }
    }
}

#[test]
fn markdown_is_wrapped_at_100_columns() {
    let mut long = Vec::new();
    for page in pages() {
        for (number, line) in page.prose() {
            // Tables and links cannot be wrapped.
            let is_table = line.starts_with('|');
            let is_word = !line.trim_start_matches(['-', '>', ' ']).contains(' ');
            if line.chars().count() > COLUMNS_MAX && !is_table && !is_word {
                long.push(format!("{}:{number}", page.path.display()));
            }
        }
    }
    assert!(long.is_empty(), "lines over {COLUMNS_MAX} columns:\n{}", long.join("\n"));
}

#[test]
fn every_link_in_the_documentation_resolves() {
    let pages = pages();
    let anchors: BTreeMap<PathBuf, BTreeSet<String>> =
        pages.iter().map(|page| (page.path.clone(), page.anchors())).collect();
    let mut broken = Vec::new();
    for page in &pages {
        let prose: Vec<&str> = page.prose().map(|(_, line)| line).collect();
        for link in prose.join("\n").split("](").skip(1) {
            let target = link.split(')').next().unwrap_or_default();
            if target.contains("://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let folder = page.path.parent().unwrap_or(Path::new(""));
            let path = match file {
                "" => page.path.clone(),
                file => normalized(&folder.join(file)),
            };
            let exists = in_repository("").join(&path).exists();
            let has_anchor =
                anchor.is_empty() || anchors.get(&path).is_some_and(|all| all.contains(anchor));
            if !exists || !has_anchor {
                broken.push(format!("{}: {target}", page.path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}

/// Resolves `..` in a relative path without asking the file system.
fn normalized(path: &Path) -> PathBuf {
    let mut parts: Vec<&OsStr> = Vec::new();
    for part in path {
        match part.to_str() {
            Some("..") => {
                parts.pop();
            }
            Some(".") => {}
            _ => parts.push(part),
        }
    }
    parts.into_iter().collect()
}
