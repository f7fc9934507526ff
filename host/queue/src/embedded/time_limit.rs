//! Limits on the time of long statements.

use std::io;
use std::sync::mpsc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use rusqlite::Connection;

/// Runs `work` on a connection, and interrupts its statement after `max`.
///
/// # Errors
///
/// The thread that measures the time cannot be started. Nothing was run.
pub fn within<T>(sql: &Connection, max: Duration, work: impl FnOnce() -> T) -> io::Result<T> {
    let (done, ended) = mpsc::channel::<()>();
    let interrupt = sql.get_interrupt_handle();
    let timer =
        std::thread::Builder::new().name("queue-time-limit".to_owned()).spawn(move || {
            if ended.recv_timeout(max) == Err(RecvTimeoutError::Timeout) {
                interrupt.interrupt();
            }
        })?;
    let result = work();
    drop(done);
    let _ = timer.join();
    Ok(result)
}
