//! Checks that no two sibling modules of a crate depend on each other, directly
//! or over other siblings.
//!
//! A module may name its parent and its children. Between siblings the names
//! must point one way, so that each can be read, tested and moved without the
//! others. Re-exports are followed to the module that defines the item.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// The crates of the host, relative to `host`.
const CRATES: &[&str] = &[".", "core", "platform", "queue", "runtime", "egress", "trail"];

/// The path of a module from the root of its crate; empty for the root.
type ModulePath = Vec<String>;

/// The modules of one crate.
struct Crate {
    modules: BTreeMap<ModulePath, Module>,
}

struct Module {
    /// The source, without comments, strings and unit tests.
    code: String,
    /// Items that the module imports or re-exports: name to path as written.
    imports: BTreeMap<String, Vec<String>>,
}

impl Crate {
    fn read(source: &Path) -> Self {
        let mut files = Vec::new();
        collect(source, &mut files);
        let mut modules = BTreeMap::new();
        for file in files {
            let relative = file.strip_prefix(source).expect("found below the source folder");
            let mut path: ModulePath = relative
                .with_extension("")
                .iter()
                .map(|part| part.to_string_lossy().into_owned())
                .collect();
            if matches!(path.last().map(String::as_str), Some("mod" | "lib" | "main")) {
                path.pop();
            }
            // Test modules may name whatever they test.
            if path.iter().any(|part| part == "tests") || relative == Path::new("main.rs") {
                continue;
            }
            let code = code_of(&fs::read_to_string(&file).expect("a source can be read"));
            let imports = imports_of(&code);
            modules.insert(path, Module { code, imports });
        }
        Self { modules }
    }

    /// Returns the module that defines what `path` names inside `from`, or
    /// `None` if the path leads out of the crate.
    fn resolve(&self, from: &ModulePath, path: &[String], depth: usize) -> Option<ModulePath> {
        // An import that leads back to itself is a name that rustc resolves
        // otherwise, such as a macro.
        if depth > 8 {
            return None;
        }
        let mut at = from.clone();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => {
                at = Vec::new();
                rest = &rest[1..];
            }
            "self" => rest = &rest[1..],
            "super" => {
                while rest.first().is_some_and(|part| part == "super") {
                    at.pop()?;
                    rest = &rest[1..];
                }
            }
            first => {
                let mut child = at.clone();
                child.push(first.to_owned());
                self.modules.get(&child)?;
            }
        }
        while let Some(next) = rest.first() {
            let mut child = at.clone();
            child.push(next.clone());
            if self.modules.contains_key(&child) {
                at = child;
                rest = &rest[1..];
                continue;
            }
            let import = self.modules.get(&at)?.imports.get(next);
            return match import {
                Some(import) => self.resolve(&at, import, depth + 1).or(Some(at)),
                None => Some(at),
            };
        }
        Some(at)
    }

    /// Returns the references between the children of each parent.
    fn sibling_edges(&self) -> BTreeMap<ModulePath, BTreeMap<String, BTreeSet<String>>> {
        let mut edges: BTreeMap<ModulePath, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for (from, module) in &self.modules {
            for path in paths_in(&module.code) {
                let Some(to) = self.resolve(from, &path, 0) else { continue };
                let common = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
                if let (Some(one), Some(other)) = (from.get(common), to.get(common)) {
                    edges
                        .entry(from[..common].to_vec())
                        .or_default()
                        .entry(one.clone())
                        .or_default()
                        .insert(other.clone());
                }
            }
        }
        edges
    }
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder can be read") {
        let path = entry.expect("a folder entry can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Returns the lines that are code of the product.
fn code_of(source: &str) -> String {
    let mut code = String::new();
    let mut lines = source.lines().peekable();
    while let Some(line) = lines.next() {
        // Unit tests stand at the end of a file.
        let test = line.starts_with("#[cfg(test)]") || line.starts_with("#[cfg(all(test");
        if test && lines.peek().is_some_and(|next| next.contains("mod ") && next.ends_with('{')) {
            break;
        }
        if !line.trim_start().starts_with("//") {
            code.push_str(line);
            code.push('\n');
        }
    }
    code
}

/// Reads `use a::b::C;` and `use a::b::C as D;`, public or not. Groups do not
/// occur: the style is one import a line.
fn imports_of(code: &str) -> BTreeMap<String, Vec<String>> {
    let mut imports = BTreeMap::new();
    for line in code.lines() {
        let line = line.trim();
        let Some(at) = line.find("use ") else { continue };
        let visible = line[..at].trim();
        if !(visible.is_empty() || visible.starts_with("pub")) {
            continue;
        }
        let Some(path) = line[at + 4..].strip_suffix(';') else { continue };
        let (path, name) = match path.split_once(" as ") {
            Some((path, name)) => (path, name),
            None => (path, path.rsplit("::").next().unwrap_or(path)),
        };
        let path: Vec<String> = path.split("::").map(str::to_owned).collect();
        imports.insert(name.to_owned(), path);
    }
    imports
}

/// Finds every path that starts with `crate`, `self` or `super`.
fn paths_in(code: &str) -> Vec<Vec<String>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut paths = Vec::new();
    for start in ["crate::", "self::", "super::"] {
        for (at, _) in code.match_indices(start) {
            if code[..at].ends_with(|c: char| is_word(c) || c == ':' || c == '$') {
                continue;
            }
            let end = code[at..].find(|c: char| !(is_word(c) || c == ':'));
            let text = &code[at..end.map_or(code.len(), |end| at + end)];
            paths.push(
                text.split("::").map(str::to_owned).filter(|part| !part.is_empty()).collect(),
            );
        }
    }
    paths
}

/// Returns the names that can be reached from themselves.
fn on_a_cycle(edges: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let reachable = |from: &String| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&String> = edges.get(from).into_iter().flatten().collect();
        while let Some(next) = open.pop() {
            if seen.insert(next.clone()) {
                open.extend(edges.get(next).into_iter().flatten());
            }
        }
        seen
    };
    edges.keys().filter(|name| reachable(name).contains(*name)).cloned().collect()
}

#[test]
fn no_sibling_modules_depend_on_each_other() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut broken = Vec::new();
    for name in CRATES {
        let edges = Crate::read(&host.join(name).join("src")).sibling_edges();
        for (parent, edges) in edges {
            let cycle = on_a_cycle(&edges);
            for one in &cycle {
                let others: Vec<_> = edges[one].intersection(&cycle).cloned().collect();
                let parent = parent.join("::");
                broken.push(format!("{name}: {parent}::{one} -> {}", others.join(", ")));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_cycle_is_found_over_imports_and_re_exports() {
    let folder = std::env::temp_dir().join(format!("hoth-cycles-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    for (file, text) in [
        ("lib.rs", "mod a;\nmod b;\nmod c;\npub use b::B;\n"),
        ("a.rs", "use crate::B;\npub struct A;\n"),
        ("b.rs", "pub struct B;\nfn f(_: super::a::A) {}\n"),
        ("c.rs", "use crate::a::A;\n"),
    ] {
        fs::write(folder.join(file), text).expect("a file can be written");
    }
    let edges = Crate::read(&folder).sibling_edges();
    fs::remove_dir_all(&folder).expect("the folder can be removed");
    let cycle: Vec<String> = on_a_cycle(&edges[&Vec::new()]).into_iter().collect();
    assert_eq!(cycle, ["a", "b"]);
}
