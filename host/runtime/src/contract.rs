//! The host's side of the contract with adapters, as plain values.

use hoth_core::domain::AdapterState;
use hoth_core::domain::Event;
use hoth_core::domain::Timestamp;

/// The description that an adapter gives of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// For people.
    pub name: String,
    /// For people.
    pub version: String,
    /// The operations that the adapter supports, as in `job.operation`.
    pub operations: Vec<String>,
    /// The oldest and the newest state version that the adapter resumes.
    pub states: (u32, u32),
    /// The credentials that the adapter asks for by name.
    pub credentials: Vec<String>,
}

/// The part of the WIT's `job` that is the same in every call of a run.
#[derive(Debug, Clone)]
pub struct JobContext {
    pub id: String,
    pub operation: String,
    /// One JSON object.
    pub input: String,
    /// One JSON object.
    pub settings: String,
    /// From 1.
    pub attempt: u32,
    pub context: Vec<(String, String)>,
}

/// One call into an adapter.
#[derive(Debug)]
pub struct Call<'a> {
    pub facts: &'a JobContext,
    pub now: Timestamp,
    pub entropy: (u64, u64),
    pub entry: EntryPoint<'a>,
}

/// The exported function that a call enters.
#[derive(Debug)]
pub enum EntryPoint<'a> {
    Begin,
    Resume { state: &'a AdapterState, event: Event },
}
