//! Queues in one SQLite file, for one host.
//!
//! The file is in WAL mode. One [writer] thread commits for all callers (group
//! commit), a second thread syncs the log and answers them, and a third one
//! copies the log to the database; the state is read on a connection of its own.
//! The [tables] hold everything, so a backlog costs disk space and not memory.
//! Only the most recent deduplication keys and members of groups are in memory
//! as well (see [known_keys] and [groups]); a restart reads them from the file.
//! Operators may read the
//! file with `sqlite3` at any time.

#[cfg(test)]
mod against_model;
mod archive;
mod backend;
mod backlog;
mod command;
mod commits;
mod config;
mod contract;
mod disk_use;
mod failure;
#[cfg(test)]
mod files_tests;
mod groups;
mod heads;
mod identity;
mod in_place;
mod inspect;
mod known_keys;
mod leasing;
mod locate;
#[cfg(test)]
mod locate_tests;
mod lock;
mod log_index;
mod log_size;
mod log_sync;
mod merge;
mod operations;
mod other_writers;
mod receipt;
mod rescue;
mod reserve;
mod schema;
mod sorting;
mod statements;
mod store;
mod stored_id;
mod tables;
#[cfg(test)]
mod tests;
mod time;
mod time_limit;
#[cfg(test)]
mod time_tests;
mod transaction;
mod upgrade;
#[cfg(test)]
mod upgrade_tests;
mod wait_queues;
mod writer;

pub use self::backend::EmbeddedQueue;
pub use self::config::Config;
pub use self::config::LOG_MAX_BYTES;
pub use self::config::OpenError;
pub use self::disk_use::DiskUse;
pub use self::failure::StorageFailure;
pub use self::tables::VERSION as SCHEMA_VERSION;
