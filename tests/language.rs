//! Checks the language rules that a program can check.
//!
//! CONTRIBUTING.md has the rules themselves, with examples.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// The roots of the texts that people read, relative to the repository.
const ROOTS: &[&str] = &["host", "plugins", "tests", "wit", "xtask", "docs", ".ci"];

/// Words that a doc summary must not start with: they begin a noun clause,
/// which leaves the reader to find out the noun.
const CLAUSE_STARTERS: &[&str] = &["What", "Who", "Whether", "How", "Why", "Which", "Where"];

/// Pronouns that hide a subject, in two parts, so that this file passes.
const PRONOUNS: &[(&str, &str)] = &[("no", "body"), ("some", "body"), ("who", "ever")];

/// A text file of the repository.
struct Text {
    /// Relative to the repository.
    path: String,
    content: String,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Reads every text below [`ROOTS`] and at the top with one of these
/// extensions.
fn texts(extensions: &[&str]) -> Vec<Text> {
    let root = repository();
    let mut files = Vec::new();
    for entry in fs::read_dir(&root).expect("the repository can be read") {
        let path = entry.expect("an entry can be read").path();
        if path.is_file() {
            files.push(path);
        }
    }
    for folder in ROOTS {
        collect(&root.join(folder), &mut files);
    }
    let mut texts = Vec::new();
    for file in files {
        let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or("");
        if extensions.contains(&extension) {
            let relative = file.strip_prefix(&root).expect("found below the root");
            texts.push(Text {
                path: relative.to_string_lossy().into_owned(),
                content: fs::read_to_string(&file).expect("a text can be read"),
            });
        }
    }
    assert!(texts.len() > 5, "only {} texts were found", texts.len());
    texts
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder can be read") {
        let path = entry.expect("an entry can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("");
        // Inputs of fuzz targets are bytes, and build output is not ours.
        if ["target", "corpus", "node_modules", "__pycache__"].contains(&name) {
            continue;
        }
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}

/// Returns the text of a doc comment line, or `None` if the line is none.
fn doc_text(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let text = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"))?;
    // Four slashes are an ordinary comment.
    (!text.starts_with('/')).then(|| text.trim())
}

/// Returns the first line of each block of doc comments, with its number.
fn summaries(source: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (index, line) in source.lines().enumerate() {
        let text = doc_text(line);
        if let Some(text) = text
            && !inside
        {
            found.push((index + 1, text));
        }
        inside = text.is_some();
    }
    found
}

fn first_word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("")
}

#[test]
fn no_doc_summary_starts_with_a_clause() {
    let mut broken = Vec::new();
    for text in texts(&["rs", "wit"]) {
        for (line, summary) in summaries(&text.content) {
            if CLAUSE_STARTERS.contains(&first_word(summary)) {
                broken.push(format!("{}:{line}: {summary}", text.path));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "{} summaries start with a clause; start with a verb or a noun:\n{}",
        broken.len(),
        broken.join("\n")
    );
}

#[test]
fn no_text_hides_its_subject_behind_a_pronoun() {
    let pronouns: Vec<String> = PRONOUNS.iter().map(|(one, two)| format!("{one}{two}")).collect();
    let mut broken = Vec::new();
    for text in texts(&["rs", "wit", "md", "toml", "py", "js"]) {
        for (index, line) in text.content.lines().enumerate() {
            let line = line.to_lowercase();
            let mut words = line.split(|c: char| !c.is_alphabetic());
            if words.any(|word| pronouns.iter().any(|pronoun| pronoun == word)) {
                broken.push(format!("{}:{}: {}", text.path, index + 1, line.trim()));
            }
        }
    }
    assert!(
        broken.is_empty(),
        "{} lines hide their subject; name it:\n{}",
        broken.len(),
        broken.join("\n")
    );
}

#[test]
fn summaries_are_found_at_the_start_of_each_block() {
    let source =
        "//! One.\n//! More.\n\n/// Two.\n///\n/// More.\nfn f() {}\n//// None.\n  /// Three.";
    let found: Vec<&str> = summaries(source).into_iter().map(|(_, summary)| summary).collect();
    assert_eq!(found, ["One.", "Two.", "Three."]);
}
