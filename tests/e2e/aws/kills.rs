//! A kill of the host at each call of an environment: nothing may be created
//! twice.

use hoth_testkit::AwsPartition;
use hoth_testkit::MockAws;
use serde_json::Value;

use super::environment;
use super::find;
use super::mock;
use super::new_portfolio;
use super::setup;
use super::state;
use crate::harness::MOMENTS;
use crate::harness::TestHost;

const MAIL: &str = "ada@example.mil";

/// Runs a job that creates an environment with an operator, and returns the
/// number of its calls and the portfolio. The host dies at the `nth` call, if
/// there is one.
async fn run(aws: &MockAws, host: &mut TestHost, nth: Option<(usize, &str)>) -> (usize, String) {
    host.restart_idle().await;
    aws.reset().await.expect("a reset");
    // A host does not do the same job twice.
    let id = |object: &str| format!("{object}-{nth:?}");
    let unit = new_portfolio(host, &id("portfolio")).await;
    let job = environment(&id("environment"), &unit, &[MAIL]);
    let before = aws.calls().await.expect("calls").len();
    match nth {
        Some((nth, moment)) => host.die_at_call(aws, nth, moment, &job).await,
        None => host.servicenow().provision(&job).await,
    }
    let outcome = host.servicenow().outcome().await;
    assert_eq!(outcome.code(), 200, "{nth:?}: {outcome}");
    (aws.calls().await.expect("calls").len() - before, unit)
}

/// Kills the host at each call, before it takes effect and after.
async fn kill_at_each_call(partition: AwsPartition) {
    let aws = mock().await;
    let mut host = setup(&aws, partition).start().await;
    let (calls, _) = run(&aws, &mut host, None).await;
    for nth in 0..calls {
        for moment in MOMENTS {
            let (_, unit) = run(&aws, &mut host, Some((nth, moment))).await;
            check(&aws, partition, &unit, &format!("call {nth}, {moment}")).await;
        }
    }
}

/// Checks that there is one of everything that the job creates.
async fn check(aws: &MockAws, partition: AwsPartition, unit: &str, killed_at: &str) {
    let joined = state(aws, partition).await;
    let commercial = state(aws, AwsPartition::Commercial).await;
    let count = |state: &Value, list: &str| find(state, list, |_| true).len();
    assert_eq!(find(&joined, "accounts", |one| one["parent"] == unit).len(), 1, "{killed_at}");
    // Each organization has a management account and the new one.
    assert_eq!(count(&joined, "accounts"), 2, "{killed_at}: {joined:#}");
    assert_eq!(count(&commercial, "accounts"), 2, "{killed_at}: {commercial:#}");
    // A second request would fail, for its e-mail address is taken.
    let all = aws.state().await.expect("the state");
    assert_eq!(count(&all, "creations"), 1, "{killed_at}: {all:#}");
    for list in ["users", "groups", "memberships", "assignments"] {
        assert_eq!(count(&joined, list), 1, "{killed_at}: {list} in {joined:#}");
    }
}

#[tokio::test]
async fn a_kill_at_any_call_creates_nothing_twice() {
    kill_at_each_call(AwsPartition::Commercial).await;
}

#[tokio::test]
async fn a_kill_at_any_call_creates_no_second_pair() {
    kill_at_each_call(AwsPartition::GovCloud).await;
}
