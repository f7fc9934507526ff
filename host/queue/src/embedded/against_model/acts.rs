//! The acts of the random sequences.

use proptest::prelude::*;
use proptest::sample::Index;

use crate::message::Dedup;
use crate::message::DedupKey;
use crate::message::GroupId;
use crate::message::NewMessage;
use hoth_core::domain::Digest;

/// One act on one of two queues: a queue of requests, or a queue of outcomes,
/// which has an archive.
#[derive(Debug, Clone)]
pub enum Act {
    Send {
        outcomes: bool,
        new: New,
        due_in: Option<u64>,
    },
    Receive {
        outcomes: bool,
        max: usize,
        lease: u64,
        client: bool,
    },
    Take {
        outcomes: bool,
        key: u8,
        lease: u64,
    },
    Delete {
        held: Vec<Index>,
    },
    ChangeLease {
        held: Vec<Index>,
        after: u64,
    },
    GiveBack {
        held: Vec<Index>,
        after: u64,
    },
    Settle {
        held: Index,
        to_outcomes: bool,
        new: New,
    },
    DeadLetter {
        held: Index,
        report: Option<New>,
    },
    /// Drops a delivery, as a cancelled task does, before or after its work
    /// has begun.
    Drop {
        held: Index,
        started: bool,
    },
    Pass {
        seconds: u64,
    },
    Restart,
    RedeliverKeys {
        keys: Vec<u8>,
    },
    RedeliverSince {
        seconds_ago: u64,
    },
    Redrive {
        outcomes: bool,
        letter: Index,
        new: New,
    },
    Discard {
        outcomes: bool,
        letters: Vec<Index>,
    },
}

/// A message to send.
#[derive(Debug, Clone)]
pub struct New {
    group: u8,
    key: u8,
    content: u8,
}

impl New {
    pub fn message(&self) -> NewMessage {
        let content = Digest::of(&[self.content]);
        NewMessage {
            group: GroupId::new(format!("g{}", self.group)).expect("a valid group"),
            dedup: Dedup {
                key: DedupKey::new(format!("k{}", self.key)).expect("a valid key"),
                content,
            },
            key: format!("k{}", self.key),
            body: format!("{self:?}"),
            not_before: None,
        }
    }
}

/// Generates messages: mostly under new keys, and mostly with the same content
/// under a known one.
fn new() -> impl Strategy<Value = New> {
    let content = prop_oneof![9 => Just(0_u8), 1 => Just(1)];
    (0..3_u8, 0..40_u8, content).prop_map(|(group, key, content)| New { group, key, content })
}

/// Generates times: mostly of the length of leases, sometimes a day.
fn seconds() -> impl Strategy<Value = u64> {
    prop_oneof![10 => 0..20_u64, 1 => Just(60 * 60), 1 => Just(24 * 60 * 60 - 1)]
}

/// Generates one act.
pub fn act() -> impl Strategy<Value = Act> {
    let some = || prop::collection::vec(any::<Index>(), 1..4);
    prop_oneof![
        8 => (any::<bool>(), new(), prop::option::weighted(0.2, 0..20_u64))
            .prop_map(|(outcomes, new, due_in)| Act::Send { outcomes, new, due_in }),
        8 => (any::<bool>(), 1..=4_usize, 1..20_u64, any::<bool>())
            .prop_map(|(outcomes, max, lease, client)| Act::Receive { outcomes, max, lease, client }),
        4 => (any::<bool>(), 0..40_u8, 1..20_u64)
            .prop_map(|(outcomes, key, lease)| Act::Take { outcomes, key, lease }),
        4 => some().prop_map(|held| Act::Delete { held }),
        2 => (some(), 0..20_u64).prop_map(|(held, after)| Act::ChangeLease { held, after }),
        2 => (some(), 0..20_u64).prop_map(|(held, after)| Act::GiveBack { held, after }),
        4 => (any::<Index>(), any::<bool>(), new())
            .prop_map(|(held, to_outcomes, new)| Act::Settle { held, to_outcomes, new }),
        2 => (any::<Index>(), prop::option::of(new()))
            .prop_map(|(held, report)| Act::DeadLetter { held, report }),
        2 => (any::<Index>(), any::<bool>())
            .prop_map(|(held, started)| Act::Drop { held, started }),
        4 => seconds().prop_map(|seconds| Act::Pass { seconds }),
        1 => Just(Act::Restart),
        1 => prop::collection::vec(0..40_u8, 1..8).prop_map(|keys| Act::RedeliverKeys { keys }),
        1 => seconds().prop_map(|seconds_ago| Act::RedeliverSince { seconds_ago }),
        1 => (any::<bool>(), any::<Index>(), new())
            .prop_map(|(outcomes, letter, new)| Act::Redrive { outcomes, letter, new }),
        1 => (any::<bool>(), some())
            .prop_map(|(outcomes, letters)| Act::Discard { outcomes, letters }),
    ]
}
