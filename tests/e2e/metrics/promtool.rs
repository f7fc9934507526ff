//! Runs `promtool`, which `cargo xtask test` installs.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

/// Checks that `promtool check metrics` finds nothing in the text.
pub fn check_metrics(text: &str) {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed: `cargo xtask test` does that");
    let mut stdin = child.stdin.take().expect("it is piped");
    // It reads everything before it writes.
    stdin.write_all(text.as_bytes()).expect("promtool reads the metrics");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let found = [output.stdout, output.stderr].concat();
    let found = String::from_utf8_lossy(&found);
    assert!(output.status.success() && found.trim().is_empty(), "{}: {found}", output.status);
}

/// Checks that `promtool` with these arguments accepts a file.
pub fn succeeds(arguments: &[&str], file: &Path) {
    let output = Command::new("promtool")
        .args(arguments)
        .arg(file)
        .output()
        .expect("promtool is installed: `cargo xtask test` does that");
    let text = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&text));
}
