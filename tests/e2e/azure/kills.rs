//! A kill of the host at each call of an environment: nothing may be created
//! twice.

use hoth_testkit::MockAzure;

use super::add_environment;
use super::add_portfolio;
use super::azure;
use super::count;
use super::operations;
use super::provisioned;
use super::setup;
use super::state;
use crate::harness::MOMENTS;
use crate::harness::TestHost;

const MAIL: &str = "a.b@example.mil";

/// The most calls that the job may take: a bound for the test.
const CALLS_MAX: usize = 30;

/// Runs a job that creates an environment with a guest, and returns the number
/// of its calls. The host dies at the `nth` call, if there is one.
async fn run(azure: &MockAzure, host: &mut TestHost, nth: Option<(usize, &str)>) -> usize {
    host.restart_idle().await;
    azure.reset().await.expect("a reset");
    // A host does not do the same job twice.
    let id = |object: &str| format!("{object}-{nth:?}");
    let portfolio = provisioned(host, &add_portfolio(&id("portfolio")), "portfolio").await;
    let job = add_environment(&id("environment"), &portfolio, &[MAIL]);
    let before = operations(azure).await.len();
    match nth {
        Some((nth, moment)) => host.die_at_call(azure, nth, moment, &job).await,
        None => host.servicenow().provision(&job).await,
    }
    let outcome = host.servicenow().outcome().await;
    assert_eq!(outcome.code(), 200, "{nth:?}: {outcome}");
    operations(azure).await.len() - before
}

#[tokio::test]
async fn a_kill_at_any_call_creates_nothing_twice() {
    let azure = azure().await;
    let mut host = setup(&azure).start().await;
    let calls = run(&azure, &mut host, None).await;
    assert!((8..CALLS_MAX).contains(&calls), "{calls} calls");
    for nth in 0..calls {
        for moment in MOMENTS {
            run(&azure, &mut host, Some((nth, moment))).await;
            let state = state(&azure).await;
            let made = (
                count(&state, "managementGroups"),
                count(&state, "subscriptions"),
                count(&state, "aliases"),
                count(&state, "users"),
                count(&state, "roleAssignments"),
            );
            assert_eq!(made, (2, 1, 1, 1, 1), "call {nth}, {moment}");
            assert_eq!(state["invitations"], 1, "call {nth}, {moment}");
        }
    }
}
