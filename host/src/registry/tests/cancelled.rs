//! Changes that are dropped half-way, as by a client that hangs up.

use std::future::Future;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use super::*;

/// Runs a change and drops it instead of the poll after `polls`. Returns `true`
/// if it has ended by then.
async fn ends_within<T>(polls: usize, change: impl Future<Output = T>) -> bool {
    let (mut change, mut left) = (pin!(change), polls);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(false);
        }
        left -= 1;
        change.as_mut().poll(context).map(|_| true)
    })
    .await
}

/// Expects that the host comes to serve what a restart would serve. A write
/// that has begun goes on after its change was dropped.
async fn agrees_with_a_restart(test: &TestRegistry, polls: usize) -> String {
    let started_at = Instant::now();
    loop {
        reconcile(&test.registry).await;
        let restarted = open(test.directory.path()).await;
        let restarted = restarted.serving(&csp("CSP_A")).unwrap();
        let restarted = &restarted.adapter().info().version;
        if test.serving() == *restarted {
            return restarted.clone();
        }
        let serving = test.serving();
        assert!(started_at.elapsed() < PATIENCE, "{polls} polls: {serving}, not {restarted}");
    }
}

#[tokio::test]
async fn a_change_that_is_dropped_half_way_is_made_or_not_but_never_half() {
    let mut served = Vec::new();
    for polls in 0.. {
        let test = test_registry().await;
        test.install("1").await;
        let change = test.registry.install("atat", wasm("2", (1, 1)), None);
        let has_ended = ends_within(polls, change).await;
        served.push(agrees_with_a_restart(&test, polls).await);
        if has_ended {
            break;
        }
    }
    assert_eq!((served[0].as_str(), served.last().unwrap().as_str()), ("1", "2"));

    for polls in 0.. {
        let test = test_registry().await;
        test.install("1").await;
        test.install("2").await;
        let has_ended = ends_within(polls, test.registry.roll_back("atat", None)).await;
        let served = agrees_with_a_restart(&test, polls).await;
        if has_ended {
            assert_eq!(served, "1");
            break;
        }
    }

    for polls in 0.. {
        let test = test_registry().await;
        test.install("1").await;
        fs::write(test.directory.path().join("atat.wasm"), wasm("2", (1, 1))).unwrap();
        let name = "atat".parse().unwrap();
        let has_ended = ends_within(polls, test.registry.follow_drop(&name)).await;
        assert_eq!(agrees_with_a_restart(&test, polls).await, "2", "{polls} polls");
        if has_ended {
            break;
        }
    }
}
