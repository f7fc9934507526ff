//! The first line of a host's log.

use std::collections::BTreeSet;

use tracing::info;

use super::Role;
use crate::admin::BUILD;
use crate::config::Config;
use hoth_queue::Backend;
use hoth_queue::embedded::SCHEMA_VERSION;

/// Logs the first line of a host: the program, and what it was told to do.
pub fn log(config: &Config, roles: &BTreeSet<Role>) {
    let names: Vec<&str> = roles.iter().copied().map(Role::name).collect();
    // The schema of the queue file, to which a file of an earlier one is
    // brought.
    let (backend, queue_schema) = match config.queue.backend() {
        Backend::Embedded { .. } => ("embedded", Some(SCHEMA_VERSION)),
        Backend::Sqs(_) => ("sqs", None),
    };
    let [version, commit] = BUILD;
    info!(
        event = "start",
        version,
        commit,
        pid = std::process::id(),
        roles = names.join(","),
        config = %config.file.display(),
        config_sha256 = config.keys.of_file().map(tracing::field::display),
        queue = backend,
        queue_schema,
        "Host starts"
    );
}
