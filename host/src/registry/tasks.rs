//! The tasks that follow the ledgers and the drop directory, one at a time for
//! each adapter and kind.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::task::Id;
use tokio::task::JoinError;
use tokio::task::JoinSet;
use tracing::error;

use super::AdapterName;
use super::Registry;

/// Work on the files of one adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    /// Applies its ledger. Comes first: the ledger says which file of the drop
    /// directory has already been ingested.
    Ledger,
    /// Ingests its file in the drop directory.
    Drop,
}

/// Running tasks. An adapter whose component compiles for minutes delays
/// neither other adapters nor the changes of its own ledger. All tasks end when
/// this is dropped.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    running: JoinSet<()>,
    keys: BTreeMap<Id, (Work, AdapterName)>,
    /// Work that has to run once more: a change came while it was running.
    again: BTreeSet<(Work, AdapterName)>,
}

impl Tasks {
    /// Starts to follow an adapter's files.
    pub fn follow(&mut self, registry: &Arc<Registry>, name: AdapterName) {
        self.start(registry, Work::Ledger, name);
    }

    /// Returns `true` if no task runs.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty()
    }

    /// Waits for the end of a task, and starts the next work on its adapter.
    /// Waits forever if no task runs.
    pub async fn next(&mut self, registry: &Arc<Registry>) {
        let id = match self.running.join_next_with_id().await {
            None => return std::future::pending().await,
            Some(Ok((id, ()))) => id,
            Some(Err(failed)) => failed_id(&failed),
        };
        let Some((work, name)) = self.keys.remove(&id) else { return };
        if self.again.remove(&(work, name.clone())) {
            self.start(registry, work, name.clone());
        }
        match work {
            Work::Ledger => self.start(registry, Work::Drop, name),
            Work::Drop => {}
        }
    }

    fn start(&mut self, registry: &Arc<Registry>, work: Work, name: AdapterName) {
        let key = (work, name.clone());
        if self.keys.values().any(|running| *running == key) {
            self.again.insert(key);
            return;
        }
        let registry = Arc::clone(registry);
        let task = self.running.spawn(async move {
            match work {
                Work::Ledger => registry.follow_ledger(&name).await,
                Work::Drop => registry.follow_drop(&name).await,
            }
        });
        self.keys.insert(task.id(), key);
    }
}

fn failed_id(failed: &JoinError) -> Id {
    error!(error = failed as &dyn std::error::Error, "Work on an adapter failed");
    failed.id()
}
