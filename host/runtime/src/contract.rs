//! The host's side of the contract with adapters, as plain values.

use hoth_core::domain::AdapterState;
use hoth_core::domain::Event;
use hoth_core::domain::Manifest;
use hoth_core::domain::Timestamp;

/// The description that an adapter gives of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Info {
    /// The adapter's own name, for people.
    pub name: String,
    /// The adapter's own version, for people.
    pub version: String,
    /// The operations that the adapter supports, as in `job.operation`.
    pub operations: Vec<String>,
    /// The oldest and the newest state version that the adapter resumes.
    pub states: (u32, u32),
    /// The endpoints, credentials and settings that the adapter needs.
    pub manifest: Manifest,
}

/// The part of the WIT's `job` that is the same in every call of a run.
#[derive(Debug, Clone)]
pub struct JobContext {
    pub id: String,
    pub operation: String,
    /// The request, as one JSON object.
    pub input: String,
    /// The operator's settings for the CSP, as one JSON object.
    pub settings: String,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    pub context: Vec<(String, String)>,
}

/// One call into an adapter.
#[derive(Debug)]
pub struct Call<'a> {
    pub facts: &'a JobContext,
    /// The time that the guest sees, in the job and in WASI.
    pub now: Timestamp,
    /// The seed of the guest's randomness. A replay passes the same seed.
    pub entropy: (u64, u64),
    pub entry: EntryPoint<'a>,
}

/// The exported function that a call enters.
#[derive(Debug)]
pub enum EntryPoint<'a> {
    /// `begin`: the first call of a job.
    Begin,
    /// `resume`: every later call.
    Resume { state: &'a AdapterState, event: Event },
}
