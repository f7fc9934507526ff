//! A kill of the host at one call to a local cloud.

use hoth_testkit::MockCloud;
use serde_json::Value;
use serde_json::json;

use super::TestHost;
use super::eventually;

/// The moments at which a host can die between a request and its response, as
/// kinds of faults: before the call takes effect, and after.
pub const MOMENTS: [&str; 2] = ["drop-before", "drop-after"];

impl TestHost {
    /// Kills the host once its queues are empty, and starts it again. It then
    /// has no token or temporary key, so that the same job takes the same calls.
    pub async fn restart_idle(&mut self) {
        self.emptied().await;
        self.kill().await;
        self.restart().await;
    }

    /// Submits a provisioning job, kills the host while `cloud` has the `nth`
    /// call after this, and starts the host again. The call takes effect or not,
    /// as the `moment` says; its response never comes.
    pub async fn die_at_call(&mut self, cloud: &MockCloud, nth: usize, moment: &str, job: &Value) {
        // An outcome that is not deleted yet would come again after the kill.
        self.emptied().await;
        let fault = json!({"operation": "*", "kind": moment, "held": true, "skip": nth});
        cloud.fault(&fault).await.expect("a fault");
        self.servicenow().provision(job).await;
        eventually("the call at which the host dies", async || {
            holds_a_call(cloud).await.then_some(())
        })
        .await;
        self.kill().await;
        assert!(holds_a_call(cloud).await, "call {nth} went on before the host was dead");
        cloud.release().await.expect("the call goes on");
        self.restart().await;
    }
}

async fn holds_a_call(cloud: &MockCloud) -> bool {
    cloud.calls().await.expect("calls").iter().any(|call| call["held"] == true)
}
