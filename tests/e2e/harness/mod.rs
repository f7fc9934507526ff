//! A host, a ServiceNow, and patience.
//!
//! The host is the real program with the real adapter, a real queue in a
//! temporary folder and real listeners on free ports.

mod components;
mod host;
mod requests;
mod servicenow;
mod setup;

use std::time::Duration;
use std::time::Instant;

pub use components::compiled_adapters;
pub use components::component;
pub use components::guest;
pub use components::sample;
pub use host::TestHost;
pub use host::messages;
pub use requests::cost;
pub use requests::job;
pub use requests::task_order;
pub use servicenow::Answer;
pub use servicenow::ServiceNow;
pub use servicenow::client;
pub use setup::Setup;

/// How long anything may take that ends by itself. Far more than it needs: two
/// busy cores must not fail a test.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// Calls `look` until it finds something.
///
/// # Panics
///
/// After [`PATIENCE`], with what was waited for.
pub async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
