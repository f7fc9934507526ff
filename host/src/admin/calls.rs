//! The calls to a CSP, as a list and the details of one show them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::activity::Activity;
use crate::activity::CALL_CLASSES;
use crate::activity::CallTraffic;
use crate::activity::Window;
use hoth_core::domain::CspName;
use hoth_core::domain::Timestamp;
use hoth_core::domain::rfc3339;

/// The calls that this host has made.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Calls {
    /// The start of the counts.
    #[serde(with = "rfc3339")]
    since: Timestamp,
    last_hour: CallWindow,
    last_day: CallWindow,
}

/// The calls of a span up to now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CallWindow {
    seconds: u64,
    calls: u64,
    /// By the first digit of the status, or `no answer`.
    by_status: BTreeMap<&'static str, u64>,
    /// Without an answer, or with a status from 400 on.
    failed: u64,
    /// `null` without calls; too high by a fifth at most.
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

impl Calls {
    /// Returns the calls to a CSP.
    pub fn of(activity: &Activity, csp: &CspName) -> Self {
        let traffic = activity.calls(csp);
        Self {
            since: activity.since(),
            last_hour: CallWindow::of(&traffic.hour),
            last_day: CallWindow::of(&traffic.day),
        }
    }
}

impl CallWindow {
    fn of(window: &Window<{ CALL_CLASSES.len() }>) -> Self {
        Self {
            seconds: window.length.as_secs(),
            calls: window.counts.iter().sum(),
            by_status: CallTraffic::classes(window),
            // The last three classes.
            failed: window.counts[3..].iter().sum(),
            p50_ms: window.p50.map(millis),
            p99_ms: window.p99.map(millis),
        }
    }
}

/// Returns a time in milliseconds.
fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
