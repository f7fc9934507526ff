//! The parts of a host that the watchdog watches.

use std::sync::Arc;

use tracing::error;

use super::App;
use crate::registry;
use crate::supervisor::Beat;
use crate::supervisor::Watchdog;
use crate::telemetry;
use hoth_queue::Queue as _;
use hoth_queue::Storage;

/// The exit code of a host with a stuck part: that of any failure.
const STUCK: i32 = 1;

impl App {
    /// Starts the watchdog, with the parts that it can tell apart. Returns the
    /// sign of life of the watcher of the adapters directory.
    pub(super) fn start_watchdog(&self) -> std::io::Result<Beat> {
        let bound = self.config.worker.stuck_after();
        let mut watchdog = Watchdog::new(bound);
        let (pause, runtime) = (watchdog.interval(), watchdog.watch("the async runtime", bound));
        let supervisor = &self.context.supervisor;
        let beating = async move {
            loop {
                runtime.beat();
                tokio::time::sleep(pause).await;
            }
        };
        tokio::spawn(supervisor.until_done("the beat of the async runtime", beating));
        if let Storage::Embedded(queue) = &self.storage {
            // The probe runs on the runtime. Its bound is two looks longer, so
            // that a stuck runtime is not taken for a stuck writer.
            let longer = bound.saturating_add(pause * 2);
            let (queue, writer) = (Arc::clone(queue), watchdog.watch("the queue writer", longer));
            let probing = async move {
                loop {
                    // A refusal is a sign of life as well.
                    tokio::select! {
                        _ = queue.check() => {}
                        // The writer may then save messages for a while.
                        () = queue.failed() => {}
                    }
                    writer.beat();
                    tokio::time::sleep(pause).await;
                }
            };
            tokio::spawn(supervisor.until_done("the probe of the queue writer", probing));
        }
        // The watcher beats before each pass. A pass only lists files: tasks of
        // their own compile and replay, for as long as they may take.
        let longest = bound.saturating_add(registry::RESCAN_EVERY);
        let alive = watchdog.watch("the watcher of the adapters directory", longest);
        watchdog.start(supervisor, |part, silent| {
            error!(
                event = "part-stuck",
                "Part of the host is stuck: {part} has shown no sign of life for {silent:?}"
            );
            telemetry::write_last(&format!("{part} is stuck; the host must be restarted"));
            telemetry::flush_logs();
            // A drain could wait for the stuck part, and what is on disk needs
            // none.
            std::process::exit(STUCK);
        })?;
        Ok(alive)
    }
}
