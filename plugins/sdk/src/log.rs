//! Lines for the operator's log.
//!
//! The host adds the job, the CSP and the adapter, truncates a line to 4 KiB,
//! and drops lines beyond 64 in one call. Write no business data.

use std::fmt::Display;

/// Writes a line that helps only in debugging.
pub fn debug(message: impl Display) {
    write("debug", &message);
}

/// Writes an informational line.
pub fn info(message: impl Display) {
    write("info", &message);
}

/// Writes a line that an operator should look at.
pub fn warn(message: impl Display) {
    write("warn", &message);
}

/// Writes a line about an error.
pub fn error(message: impl Display) {
    write("error", &message);
}

#[cfg(target_family = "wasm")]
fn write(level: &'static str, message: &dyn Display) {
    use crate::wit::hoth::adapter::log;

    let level = match level {
        "debug" => log::Level::Debug,
        "info" => log::Level::Info,
        "warn" => log::Level::Warn,
        _ => log::Level::Error,
    };
    log::log(level, &message.to_string());
}

/// Keeps a line for the test kit, because a test has no host.
#[cfg(not(target_family = "wasm"))]
fn write(level: &'static str, message: &dyn Display) {
    LINES.with_borrow_mut(|lines| lines.push(format!("{level}: {message}")));
}

#[cfg(not(target_family = "wasm"))]
thread_local! {
    static LINES: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Takes the lines of this thread so far.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn take_lines() -> Vec<String> {
    LINES.take()
}
