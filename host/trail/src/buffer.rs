//! The buffer between the jobs and the writer.

use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use metrics::counter;

use crate::act::Act;
use hoth_core::domain::JobRecord;

/// The most events that wait to be written, of all records and acts together:
/// three seconds of a host at 7 000 jobs a second, in about 30 MB.
pub(crate) const EVENTS_MAX: usize = 120_000;

/// Events at which the writer does not wait for its next turn.
const EVENTS_SOON: usize = EVENTS_MAX / 4;

/// The writer's turn: the time for which records gather.
const TURN: Duration = Duration::from_secs(1);

/// Records and acts that the writer takes at one time.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub records: Vec<Arc<JobRecord>>,
    pub acts: Vec<Act>,
    events: usize,
}

impl Gathered {
    #[cfg(test)]
    pub fn of(records: Vec<Arc<JobRecord>>) -> Self {
        let events = records.iter().map(|record| record.events.len()).sum();
        Self { records, acts: Vec::new(), events }
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.acts.is_empty()
    }

    /// Returns the number of events.
    pub fn events(&self) -> usize {
        self.events
    }

    /// Takes the first records, up to `events_max` events and at least one
    /// record, or else the acts. Returns `None` if nothing is left.
    pub fn take(&mut self, events_max: usize) -> Option<Self> {
        if self.is_empty() {
            return None;
        }
        let mut taken = Self::default();
        let mut count = 0;
        for record in &self.records {
            if count > 0 && taken.events + record.events.len() > events_max {
                break;
            }
            taken.events += record.events.len();
            count += 1;
        }
        let rest = self.records.split_off(count);
        taken.records = std::mem::replace(&mut self.records, rest);
        if taken.records.is_empty() {
            taken.acts = std::mem::take(&mut self.acts);
            taken.events = taken.acts.len();
        }
        self.events -= taken.events;
        Some(taken)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Buffer {
    gathered: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    gathered: Gathered,
    /// Events that the writer has taken and not stored yet. They count, so that
    /// a file that cannot be written does not make the memory grow.
    in_hand: usize,
    closed: bool,
    /// True once the writer has ended.
    ended: bool,
}

impl Buffer {
    /// Adds a record, or drops and counts it if there is no room.
    pub fn push(&self, record: Arc<JobRecord>) {
        let events = record.events.len();
        self.add(events, |gathered| gathered.records.push(record));
    }

    /// Adds an act, or drops and counts it if there is no room.
    pub fn push_act(&self, act: Act) {
        self.add(1, |gathered| gathered.acts.push(act));
    }

    fn add(&self, events: usize, add: impl FnOnce(&mut Gathered)) {
        let mut state = self.lock();
        let before = state.gathered.events;
        if before + state.in_hand + events > EVENTS_MAX {
            drop(state);
            count_dropped(events);
            return;
        }
        add(&mut state.gathered);
        state.gathered.events += events;
        let after = state.gathered.events;
        drop(state);
        // At the first one, and when the buffer fills faster than its turn: the
        // writer sleeps otherwise.
        if before == 0 || (before < EVENTS_SOON && after >= EVENTS_SOON) {
            self.changed.notify_one();
        }
    }

    /// Waits for a turn, and takes what has gathered. Returns `None` if the
    /// buffer is closed and empty.
    pub fn take(&self) -> Option<Gathered> {
        let state = self.lock();
        let waiting = |state: &mut State| state.gathered.events == 0 && !state.closed;
        let state = self.changed.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner);
        let gathering = |state: &mut State| state.gathered.events < EVENTS_SOON && !state.closed;
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, TURN, gathering)
            .unwrap_or_else(PoisonError::into_inner);
        if state.gathered.is_empty() && state.closed {
            return None;
        }
        let gathered = std::mem::take(&mut state.gathered);
        state.in_hand += gathered.events;
        Some(gathered)
    }

    /// Waits for `pause`, or until the buffer is closed.
    pub fn wait(&self, pause: Duration) {
        let state = self.lock();
        let open = |state: &mut State| !state.closed;
        drop(self.changed.wait_timeout_while(state, pause, open));
    }

    /// Counts taken events as stored or lost.
    pub fn settled(&self, events: usize) {
        let mut state = self.lock();
        state.in_hand = state.in_hand.saturating_sub(events);
    }

    /// Ends the writer once it has taken the rest.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Records that the writer has ended.
    pub fn ended(&self) {
        self.lock().ended = true;
        self.changed.notify_all();
    }

    /// Waits until the writer has ended, for `max` at most. Blocks.
    pub fn wait_for_end(&self, max: Duration) {
        let state = self.lock();
        drop(self.changed.wait_timeout_while(state, max, |state| !state.ended));
    }

    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic leaves whole records behind.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts events that the trail has lost.
pub(crate) fn count_dropped(events: usize) {
    counter!("hoth_trail_events_dropped_total").increment(events as u64);
}
