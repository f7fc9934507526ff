//! Random sequences of acts on the embedded queue and on the model: both must
//! give the same answers and show the same state.
//!
//! A sequence that shows a difference is shrunk, and the shortest one is
//! printed. The seed that repeats it is kept in `proptest-regressions`.

mod acts;

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::Index;
use tempfile::TempDir;

use self::acts::Act;
use self::acts::act;
use super::backend::EmbeddedQueue;
use super::config::Config;
use super::config::LOG_MAX_BYTES;
use crate::contract::Holder;
use crate::contract::Queue;
use crate::contract::Receive;
use crate::contract::Redeliver;
use crate::contract::Take;
use crate::error::QueueError;
use crate::lease::Delivery;
use crate::lease::Receipt;
use crate::message::NewMessage;
use crate::message::Received;
use crate::model::Model;
use crate::name::QueueName;
use crate::state::DeadLetterId;
use hoth_core::domain::JobKind;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;

/// The most acts in one sequence.
const ACTS_MAX: usize = 60;

/// Returns the number of sequences of one test run: a quarter of
/// `PROPTEST_CASES` or of its default, because each has a file and waits for its
/// disk.
fn cases() -> u32 {
    ProptestConfig::default().cases / 4
}

/// Both backends, and the messages that were received from them and may still be
/// held.
struct Pair {
    folder: TempDir,
    clock: Clock,
    embedded: Option<EmbeddedQueue>,
    model: Model,
    held: Vec<Both>,
}

/// One message, as both backends delivered it.
struct Both {
    queue: QueueName,
    receipts: [Receipt; 2],
    /// The message, which is equal on both sides.
    message: Received,
    deliveries: Option<[Delivery; 2]>,
}

fn queue(outcomes: bool) -> QueueName {
    match outcomes {
        true => QueueName::outcomes(JobKind::Provisioning),
        false => {
            QueueName::requests(JobKind::Provisioning, &"CSP_A".parse().expect("a valid name"))
        }
    }
}

/// Writes a result for comparison, without causes, which differ.
fn result_text<T: std::fmt::Debug>(result: Result<T, QueueError>) -> String {
    match result {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("error: {error}"),
    }
}

impl Pair {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let clock = Clock::manual(Timestamp::from_millis(1_700_000_000_000));
        let model = Model::new(clock.clone());
        let mut pair = Self { folder, clock, embedded: None, model, held: Vec::new() };
        pair.open();
        pair
    }

    fn open(&mut self) {
        let config = Config {
            path: self.folder.path().join("queue.db"),
            redelivery_hours: 24,
            log_max_bytes: LOG_MAX_BYTES,
        };
        let opened = EmbeddedQueue::open(&config, self.clock.clone());
        self.embedded = Some(opened.expect("the file can be opened"));
    }

    fn embedded(&self) -> &EmbeddedQueue {
        self.embedded.as_ref().expect("it is open between two acts")
    }

    /// Carries out the same act on both backends, and compares the results.
    async fn ask<T: std::fmt::Debug>(
        &self,
        of: impl AsyncFn(usize, &dyn Queue) -> Result<T, QueueError>,
    ) -> Result<(), TestCaseError> {
        let embedded = result_text(of(0, self.embedded()).await);
        let model = result_text(of(1, &self.model).await);
        prop_assert_eq!(embedded, model);
        Ok(())
    }

    fn pick(&self, index: &Index) -> Option<&Both> {
        (!self.held.is_empty()).then(|| &self.held[index.index(self.held.len())])
    }

    /// Returns the receipts of some messages of one queue.
    fn pick_some(&self, indexes: &[Index]) -> Option<(QueueName, [Vec<Receipt>; 2])> {
        let first = self.pick(&indexes[0])?;
        let some = indexes.iter().filter_map(|index| self.pick(index));
        let some: Vec<_> = some.filter(|both| both.queue == first.queue).collect();
        let of = |side: usize| some.iter().map(|both| both.receipts[side].clone()).collect();
        Some((first.queue.clone(), [of(0), of(1)]))
    }

    async fn act(&mut self, act: &Act) -> Result<(), TestCaseError> {
        match act {
            Act::Send { outcomes, new, due_in } => {
                let due = due_in.map(|seconds| self.clock.now() + Duration::from_secs(seconds));
                let message = NewMessage { not_before: due, ..new.message() };
                let queue = queue(*outcomes);
                self.ask(async |_, q| q.send(&queue, message.clone()).await).await
            }
            Act::Receive { outcomes, max, lease, client } => {
                let holder = if *client { Holder::Client } else { Holder::Process };
                let lease = Duration::from_secs(*lease);
                let receive = Receive { max: *max, wait: Duration::ZERO, lease, holder };
                self.receive(&queue(*outcomes), receive).await
            }
            Act::Take { outcomes, key, lease } => {
                self.take(&queue(*outcomes), &format!("k{key}"), Duration::from_secs(*lease)).await
            }
            Act::Delete { held } => {
                let Some((queue, receipts)) = self.pick_some(held) else { return Ok(()) };
                self.ask(async |side, q| q.delete(&queue, &receipts[side]).await).await
            }
            Act::ChangeLease { held, after } => {
                let Some((queue, receipts)) = self.pick_some(held) else { return Ok(()) };
                let after = Duration::from_secs(*after);
                self.ask(async |side, q| q.change_lease(&queue, &receipts[side], after).await).await
            }
            Act::GiveBack { held, after } => {
                let Some((queue, receipts)) = self.pick_some(held) else { return Ok(()) };
                let after = Duration::from_secs(*after);
                self.ask(async |side, q| q.give_back(&queue, &receipts[side], after).await).await
            }
            Act::Settle { held, to_outcomes, new } => {
                let Some(both) = self.pick(held) else { return Ok(()) };
                let to = queue(*to_outcomes);
                self.ask(async |side, q| {
                    q.settle(&both.queue, &both.receipts[side], &to, new.message()).await
                })
                .await
            }
            Act::DeadLetter { held, report } => {
                let Some(both) = self.pick(held) else { return Ok(()) };
                let report = report.as_ref().map(|new| (queue(true), new.message()));
                self.ask(async |side, q| {
                    let receipt = &both.receipts[side];
                    q.dead_letter(&both.queue, receipt, &both.message, "a reason", report.clone())
                        .await
                })
                .await
            }
            Act::Drop { held, started } => {
                self.drop_deliveries(held, *started);
                Ok(())
            }
            Act::Pass { seconds } => {
                self.clock.advance(Duration::from_secs(*seconds));
                Ok(())
            }
            Act::Restart => {
                self.restart().await;
                Ok(())
            }
            Act::RedeliverKeys { .. }
            | Act::RedeliverSince { .. }
            | Act::Redrive { .. }
            | Act::Discard { .. } => self.put_back(act).await,
        }
    }

    fn drop_deliveries(&mut self, held: &Index, started: bool) {
        if self.held.is_empty() {
            return;
        }
        let at = held.index(self.held.len());
        for delivery in self.held[at].deliveries.take().into_iter().flatten() {
            if started {
                delivery.lease.start();
            }
        }
    }

    async fn receive(&mut self, queue: &QueueName, receive: Receive) -> Result<(), TestCaseError> {
        let embedded = self.embedded().receive(queue, receive).await.expect("in bounds");
        let model = self.model.receive(queue, receive).await.expect("in bounds");
        let messages =
            |got: &[Delivery]| got.iter().map(|d| format!("{:?}", d.message)).collect::<Vec<_>>();
        prop_assert_eq!(messages(&embedded), messages(&model));
        for (embedded, model) in embedded.into_iter().zip(model) {
            self.hold(queue, [embedded, model]);
        }
        Ok(())
    }

    fn hold(&mut self, queue: &QueueName, deliveries: [Delivery; 2]) {
        let receipts = deliveries.each_ref().map(|delivery| delivery.lease.receipt().clone());
        let message = deliveries[0].message.clone();
        let queue = queue.clone();
        self.held.push(Both { queue, receipts, message, deliveries: Some(deliveries) });
    }

    async fn take(
        &mut self,
        queue: &QueueName,
        key: &str,
        lease: Duration,
    ) -> Result<(), TestCaseError> {
        let ids = [self.embedded().id_of(queue, key).await, self.model.id_of(queue, key)];
        prop_assert_eq!(ids[0].is_some(), ids[1].is_some());
        let [Some(embedded), Some(model)] = ids else { return Ok(()) };
        let embedded = self.embedded().take(queue, &embedded, lease).await.expect("in bounds");
        let model = self.model.take(queue, &model, lease).await.expect("in bounds");
        match (embedded, model) {
            (Take::Taken(embedded), Take::Taken(model)) => {
                let text = |one: &Delivery| format!("{:?}", one.message);
                prop_assert_eq!(text(&embedded), text(&model));
                self.hold(queue, [embedded, model]);
            }
            (embedded, model) => prop_assert_eq!(format!("{embedded:?}"), format!("{model:?}")),
        }
        Ok(())
    }

    /// Closes the file and opens it again. Deliveries end with their process
    /// without releasing their messages.
    async fn restart(&mut self) {
        for delivery in self.held.iter_mut().filter_map(|both| both.deliveries.take()).flatten() {
            delivery.lease.keep();
        }
        let closing = self.embedded.take().expect("it is open between two acts");
        closing.close().await;
        drop(closing);
        self.open();
        self.model.restart();
    }

    async fn put_back(&mut self, act: &Act) -> Result<(), TestCaseError> {
        match act {
            Act::RedeliverKeys { keys } => {
                let keys = keys.iter().map(|key| format!("k{key}")).collect();
                let which = Redeliver::Keys(keys);
                self.ask(async |_, q| q.redeliver(&queue(true), which.clone()).await).await
            }
            Act::RedeliverSince { seconds_ago } => {
                let now = self.clock.now().as_millis();
                let since = Timestamp::from_millis(now.saturating_sub(seconds_ago * 1_000));
                let which = Redeliver::Since(since);
                self.ask(async |_, q| q.redeliver(&queue(true), which.clone()).await).await
            }
            Act::Redrive { outcomes, letter, new } => {
                let queue = queue(*outcomes);
                let [ids, others] = self.letters(&queue).await;
                if ids.is_empty() {
                    return Ok(());
                }
                let at = letter.index(ids.len());
                let ids = [&ids[at], &others[at]];
                self.ask(async |side, q| q.redrive(&queue, ids[side], new.message()).await).await
            }
            Act::Discard { outcomes, letters } => {
                let queue = queue(*outcomes);
                let both = self.letters(&queue).await;
                if both[0].is_empty() {
                    return Ok(());
                }
                let pick = |ids: &[DeadLetterId]| -> Vec<DeadLetterId> {
                    letters.iter().map(|letter| ids[letter.index(ids.len())].clone()).collect()
                };
                let ids = both.each_ref().map(|ids| pick(ids));
                self.ask(async |side, q| q.discard(&queue, &ids[side]).await).await
            }
            Act::Send { .. }
            | Act::Receive { .. }
            | Act::Take { .. }
            | Act::Delete { .. }
            | Act::ChangeLease { .. }
            | Act::GiveBack { .. }
            | Act::Settle { .. }
            | Act::DeadLetter { .. }
            | Act::Drop { .. }
            | Act::Pass { .. }
            | Act::Restart => unreachable!("`act` does these itself"),
        }
    }

    async fn letters(&self, queue: &QueueName) -> [Vec<DeadLetterId>; 2] {
        let ids = async |of: &dyn Queue| {
            let letters = of.dead_letters(queue, None, 1_000).await.expect("they can be read");
            letters.into_iter().map(|letter| letter.id).collect::<Vec<_>>()
        };
        let both = [ids(self.embedded()).await, ids(&self.model).await];
        assert_eq!(both[0].len(), both[1].len());
        both
    }

    /// Compares the state of both backends.
    async fn compare(&self) -> Result<(), TestCaseError> {
        // Dropping a delivery requests its release, but does not wait for it.
        self.embedded().wake_waiters().await;
        for queue in [queue(false), queue(true)] {
            self.ask(async |_, q| q.stats(&queue).await).await?;
            self.ask(async |_, q| q.blocked(&queue).await).await?;
            let letters = async |_: usize, q: &dyn Queue| {
                let letters = q.dead_letters(&queue, None, 1_000).await?;
                Ok(letters
                    .into_iter()
                    .map(|one| {
                        (one.group, one.key, one.body, one.reason, one.died_at, one.receive_count)
                    })
                    .collect::<Vec<_>>())
            };
            self.ask(letters).await?;
        }
        Ok(())
    }

    /// Receives every message that is left, after all leases have run out.
    async fn drain(&mut self) -> Result<(), TestCaseError> {
        self.clock.advance(Duration::from_secs(60 * 60));
        for queue in [queue(false), queue(true)] {
            let lease = Duration::from_secs(24 * 60);
            let receive = Receive { max: 10, wait: Duration::ZERO, lease, holder: Holder::Client };
            loop {
                let before = self.held.len();
                self.receive(&queue, receive).await?;
                if self.held.len() == before {
                    break;
                }
            }
        }
        Ok(())
    }
}

async fn compare(acts: Vec<Act>) -> Result<(), TestCaseError> {
    let mut pair = Pair::new();
    for act in &acts {
        pair.act(act).await?;
        pair.compare().await?;
    }
    pair.drain().await
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn random_acts_have_the_same_results_as_on_the_model(
        acts in prop::collection::vec(act(), 1..ACTS_MAX)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime can be made").block_on(compare(acts))?;
    }
}
