//! The memory table: the loaded versions, behind one atomic pointer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use arc_swap::ArcSwap;
use arc_swap::Guard;
use tokio::sync::watch;

use super::AdapterName;
use super::Version;
use super::history::History;
use super::slot::Slot;
use hoth_core::domain::Digest;

/// The adapters of a table, by name.
pub(super) type Slots = BTreeMap<AdapterName, Slot>;

/// The table of loaded versions.
#[derive(Debug, Default)]
pub(super) struct VersionTable {
    /// Replaced as a whole, so that a reader never waits and never sees half
    /// of a change.
    slots: ArcSwap<Slots>,
    /// Serializes writers: each copies the table, changes the copy and swaps
    /// it in, so two at once would lose one of the changes.
    swap_lock: Mutex<()>,
    /// Wakes jobs that wait for an adapter.
    changed: watch::Sender<()>,
}

impl VersionTable {
    /// Returns the table as it is now. A later change does not affect it.
    pub fn load(&self) -> Guard<Arc<Slots>> {
        self.slots.load()
    }

    /// Subscribes to the changes that [`VersionTable::update`] makes.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Returns the version that serves, or `None` if there is none.
    pub fn active(&self, name: &AdapterName) -> Option<Arc<Version>> {
        self.load().get(name).and_then(|slot| slot.active().cloned())
    }

    /// Returns a version if it is loaded.
    pub fn find(&self, name: &AdapterName, digest: &Digest) -> Option<Arc<Version>> {
        self.load().get(name).and_then(|slot| slot.find(digest))
    }

    /// Returns the history of an adapter; it is empty for an unknown one.
    pub fn history(&self, name: &AdapterName) -> History {
        self.load().get(name).map(|slot| slot.history.clone()).unwrap_or_default()
    }

    /// Changes the slot of an adapter, which is created if there is none, and
    /// notifies subscribers.
    pub fn update<T>(&self, name: &AdapterName, change: impl FnOnce(&mut Slot) -> T) -> T {
        let result = self.swap(|slots| change(slots.entry(name.clone()).or_default()));
        // After the swap, so that a subscriber that wakes up sees the change.
        self.changed.send_replace(());
        result
    }

    /// Changes the slot of an adapter as [`VersionTable::update`] does, without
    /// a notification: the versions that serve stay the same.
    pub fn update_silently<T>(&self, name: &AdapterName, change: impl FnOnce(&mut Slot) -> T) -> T {
        self.swap(|slots| change(slots.entry(name.clone()).or_default()))
    }

    /// Swaps in a changed copy. The copy is cheap: it holds pointers and
    /// histories only.
    fn swap<T>(&self, change: impl FnOnce(&mut Slots) -> T) -> T {
        // A panic in `change` poisons the lock and leaves the table as it was,
        // because only a copy was changed. So the lock can still be used.
        let _swapping = self.swap_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slots = Slots::clone(&self.load());
        let result = change(&mut slots);
        self.slots.store(Arc::new(slots));
        result
    }
}
