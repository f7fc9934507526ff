//! A host, a client that acts as ServiceNow, and waits with a deadline.
//!
//! The host is the real program with the real adapter, a real queue in a
//! temporary folder and real listeners on free ports.

mod components;
mod host;
mod kill;
mod outcome;
mod requests;
mod servicenow;
mod setup;

use std::time::Duration;
use std::time::Instant;

pub use hoth_testkit::PATIENCE;

pub use components::compiled_adapters;
pub use components::component;
pub use components::guest;
pub use components::sample;
pub use host::TestHost;
pub use host::queue_counts;
pub use kill::MOMENTS;
pub use outcome::Outcome;
pub use requests::cost;
pub use requests::job;
pub use requests::task_order;
pub use servicenow::Answer;
pub use servicenow::ServiceNow;
pub use servicenow::client;
pub use servicenow::client_builder;
pub use setup::Setup;
pub use setup::provision;

/// The pause between two looks at a condition that is waited for.
pub const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Calls `look` until it returns something.
///
/// # Panics
///
/// Panics after [`PATIENCE`] and names `what` it waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let started_at = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started_at.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
