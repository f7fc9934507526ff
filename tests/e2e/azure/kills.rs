//! A kill of the host between each two calls: nothing may be created twice.

use hoth_testkit::MockAzure;
use serde_json::json;

use super::add_environment;
use super::add_portfolio;
use super::azure;
use super::count;
use super::operations;
use super::provisioned;
use super::setup;
use super::state;
use crate::harness::TestHost;
use crate::harness::eventually;

const MAIL: &str = "a.b@example.mil";

/// The most calls that the job may take: a bound for the test.
const CALLS_MAX: usize = 30;

/// Runs a job that creates an environment with a guest, and returns the number
/// of its calls. The host dies while Azure has the `nth` call, which takes
/// effect or not.
async fn run(azure: &MockAzure, host: &mut TestHost, nth: Option<(usize, bool)>) -> usize {
    azure.reset().await.expect("a reset");
    // A host does not do the same job twice.
    let id = |object: &str| format!("{object}-{nth:?}");
    let portfolio = provisioned(host, &add_portfolio(&id("portfolio")), "portfolio").await;
    let job = add_environment(&id("environment"), &portfolio, &[MAIL]);
    let before = operations(azure).await.len();
    let snow = host.servicenow();
    if let Some((nth, has_effect)) = nth {
        let kind = if has_effect { "slow" } else { "drop-before" };
        let fault = json!({"operation": "*", "kind": kind, "skip": nth});
        azure.fault(&fault).await.expect("a fault");
        snow.provision(&job).await;
        eventually("the call", async || {
            (operations(azure).await.len() > before + nth).then_some(())
        })
        .await;
        host.kill().await;
        azure.release().await.expect("answers go on");
        host.restart().await;
    } else {
        snow.provision(&job).await;
    }
    let outcome = host.servicenow().outcome().await;
    assert_eq!(outcome.code(), 200, "{nth:?}: {outcome}");
    operations(azure).await.len() - before
}

#[tokio::test]
async fn a_host_that_dies_between_two_calls_creates_nothing_twice() {
    let azure = azure().await;
    let mut host = setup(&azure).start().await;
    let calls = run(&azure, &mut host, None).await;
    assert!((8..CALLS_MAX).contains(&calls), "{calls} calls");
    for nth in 0..calls {
        for has_effect in [true, false] {
            run(&azure, &mut host, Some((nth, has_effect))).await;
            let state = state(&azure).await;
            let made = (
                count(&state, "managementGroups"),
                count(&state, "subscriptions"),
                count(&state, "aliases"),
                count(&state, "users"),
                count(&state, "roleAssignments"),
            );
            assert_eq!(made, (2, 1, 1, 1, 1), "call {nth}, effect {has_effect}");
            assert_eq!(state["invitations"], 1, "call {nth}, effect {has_effect}");
        }
    }
}
