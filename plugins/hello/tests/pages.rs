//! Checks that the quotations in the pages about adapters match their files.
//!
//! A block of code after `<!-- all of FILE -->` must be the whole file, a block
//! after `<!-- from FILE -->` a part of it.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

const PAGES: &[&str] = &["docs/write-an-adapter.md", "docs/adapters-by-example.md"];

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate lies in plugins/hello").to_owned()
}

fn read(file: &str) -> String {
    let path = root().join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A quotation: the code, its file, and true if it must be the whole file.
struct Quoted {
    whole: bool,
    file: String,
    code: String,
}

fn quotations(page: &str) -> Vec<Quoted> {
    let mut found = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(mark) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"))
        else {
            continue;
        };
        let (whole, file) = match (mark.strip_prefix("all of "), mark.strip_prefix("from ")) {
            (Some(file), _) => (true, file),
            (None, Some(file)) => (false, file),
            (None, None) => panic!("{line} is no mark of a quotation"),
        };
        let fence = lines.next().unwrap_or_default();
        assert!(fence.starts_with("```"), "no code follows {line}");
        let code: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        found.push(Quoted { whole, file: file.to_owned(), code: code.join("\n") });
    }
    found
}

#[test]
fn every_quotation_is_in_its_file() {
    for page in PAGES {
        let quotations = quotations(&read(page));
        assert!(!quotations.is_empty(), "{page} quotes nothing");
        for Quoted { whole, file, code } in quotations {
            let text = read(&file);
            let holds = if whole { text.trim_end() == code } else { text.contains(&code) };
            assert!(holds, "{page} quotes {file} wrongly:\n{code}");
        }
    }
}

#[test]
fn every_link_of_the_pages_resolves() {
    for page in PAGES {
        let text = read(page);
        for link in text.split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.starts_with("http") {
                continue;
            }
            let path = root().join("docs").join(target);
            assert!(path.exists(), "{page} links to {target}, and there is none");
        }
    }
}
