//! Counts of each minute and CSP, for the charts of the last day.

use std::collections::HashMap;

use serde::Serialize;

use hoth_core::domain::CspName;
use hoth_core::domain::Timestamp;
use hoth_core::domain::rfc3339;

/// A minute, in milliseconds.
pub(crate) const MINUTE_MS: u64 = 60_000;

/// The minutes that are kept: a day, and the minute that has just begun.
pub(crate) const MINUTES_KEPT: u64 = 24 * 60 + 1;

/// The counts of one CSP in one minute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Minute {
    /// The start of the minute.
    #[serde(serialize_with = "rfc3339::serialize")]
    pub at: Timestamp,
    pub csp: String,
    /// Jobs that ended with a code below 400.
    pub ended_ok: u64,
    pub ended_failed: u64,
    /// Calls to the CSP.
    pub calls: u64,
    /// Calls without a response, or with a status from 400 on.
    pub calls_failed: u64,
    pub call_ms_sum: u64,
    pub call_ms_max: u64,
    pub accepted: u64,
    pub collected: u64,
}

/// The counts of one flush.
#[derive(Debug, Default)]
pub(crate) struct Minutes(HashMap<(u64, Option<CspName>), Minute>);

impl Minutes {
    /// Returns the counts of the minute of `at`.
    pub fn of(&mut self, at: Timestamp, csp: Option<&CspName>) -> &mut Minute {
        let minute = at.as_millis() / MINUTE_MS;
        self.0.entry((minute, csp.cloned())).or_insert_with(|| Minute {
            at: Timestamp::from_millis(minute * MINUTE_MS),
            csp: csp.map(CspName::to_string).unwrap_or_default(),
            ended_ok: 0,
            ended_failed: 0,
            calls: 0,
            calls_failed: 0,
            call_ms_sum: 0,
            call_ms_max: 0,
            accepted: 0,
            collected: 0,
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = &Minute> {
        self.0.values()
    }
}
