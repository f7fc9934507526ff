//! The roles of a process.

/// A role of a process; several hosts may share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Role {
    /// Accept requests and deliver outcomes
    Api,
    /// Start accepted jobs
    Worker,
    /// Poll CSPs for waiting jobs and resume them
    Watcher,
}

impl Role {
    /// Returns the name, as the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Watcher => "watcher",
        }
    }
}
