//! Lines for the operator's log.
//!
//! The host adds job, CSP and adapter, cuts a line after 4 KiB, and drops what
//! exceeds 64 lines in one call. Write no business data.

use std::fmt::Display;

/// Writes what is of use only when looking for a mistake.
pub fn debug(message: impl Display) {
    write("debug", &message);
}

/// Writes what is worth knowing.
pub fn info(message: impl Display) {
    write("info", &message);
}

/// Writes what someone should look at.
pub fn warn(message: impl Display) {
    write("warn", &message);
}

/// Writes what is broken.
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

/// There is no host in a test: the test kit reads these lines.
#[cfg(not(target_family = "wasm"))]
fn write(level: &'static str, message: &dyn Display) {
    LINES.with_borrow_mut(|lines| lines.push(format!("{level}: {message}")));
}

#[cfg(not(target_family = "wasm"))]
thread_local! {
    static LINES: std::cell::RefCell<Vec<String>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// The lines of this thread so far, which are forgotten.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn take_lines() -> Vec<String> {
    LINES.take()
}
