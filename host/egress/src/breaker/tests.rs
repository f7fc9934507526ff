//! The breaker with its waiting calls and jobs.

use super::*;

fn breaker(config: &str) -> Breaker {
    let config = toml::from_str(config).unwrap();
    Breaker::new(&"CSP_A".parse().unwrap(), "CSP_A".to_owned(), &config, Clock::system())
}

const FAILED: CallHealth =
    CallHealth::Failed(FailureCause::Transport(hoth_core::domain::TransportCode::Connect));

const PAUSE: Duration = Duration::from_millis(100);
const QUICK: &str = "failures = 1\nover_ms = 0\nopen_ms = 100\nmax_open_ms = 100";

/// A configuration with a pause that outlasts every test.
const SLOW: &str = "failures = 1\nover_ms = 0\nopen_ms = 30000\nmax_open_ms = 30000";

#[tokio::test]
async fn a_reset_lets_jobs_run_and_is_remembered() {
    let breaker = breaker(SLOW);
    assert!(!breaker.reset(), "it is closed");
    assert_eq!(breaker.history(), []);
    breaker.report("a", Instant::now(), FAILED);
    let held = breaker.receive_permit();
    let mut held = std::pin::pin!(held);
    assert!(futures_util::poll!(held.as_mut()).is_pending());
    assert!(breaker.reset());
    assert!(held.await.probe.is_none());
    assert_eq!(breaker.status().phase, BreakerPhase::Closed);
    let kinds: Vec<_> = breaker.history().into_iter().map(|change| change.what).collect();
    let cause = FailureCause::Transport(hoth_core::domain::TransportCode::Connect);
    assert!(
        matches!(
            kinds[..],
            [BreakerChangeKind::Reset { .. }, BreakerChangeKind::Opened { jobs: 1, cause: seen }]
            if seen == cause
        ),
        "{kinds:?}"
    );
    // It opens again by the same rule.
    breaker.report("b", Instant::now(), FAILED);
    assert_eq!(breaker.status().phase, BreakerPhase::Open);
}

#[tokio::test]
async fn an_open_breaker_gives_no_receive_permit() {
    let breaker = breaker(SLOW);
    let first = breaker.receive_permit().await;
    breaker.report("a", Instant::now(), FAILED);
    breaker.revoked(&first).await;
    assert_eq!(breaker.status().phase, BreakerPhase::Open);
    let mut next = std::pin::pin!(breaker.receive_permit());
    assert!(futures_util::poll!(next.as_mut()).is_pending());
}

#[tokio::test]
async fn receive_permits_wait_for_the_pause_and_are_revoked_by_each_change() {
    let breaker = breaker(QUICK);
    let first = breaker.receive_permit().await;
    assert!(first.probe.is_none());

    let started_at = Instant::now();
    breaker.report("a", started_at, FAILED);
    breaker.revoked(&first).await;
    let second = breaker.receive_permit().await;
    assert!(second.probe == Some(PAUSE) && started_at.elapsed() >= PAUSE);
    assert_eq!(breaker.status().phase, BreakerPhase::HalfOpen);

    breaker.report("b", Instant::now(), CallHealth::Responded);
    breaker.revoked(&second).await;
    assert!(breaker.receive_permit().await.probe.is_none());
}

#[tokio::test]
async fn no_job_is_received_while_a_running_job_can_probe() {
    let breaker = breaker(QUICK);
    breaker.report("x", Instant::now(), FAILED);
    let probing = breaker.call_permit().await;
    let mut waiting = std::pin::pin!(breaker.call_permit());
    assert!(futures_util::poll!(waiting.as_mut()).is_pending());
    let mut received = std::pin::pin!(breaker.receive_permit());
    assert!(futures_util::poll!(received.as_mut()).is_pending(), "a call probes");
    breaker.report("a", Instant::now(), FAILED);
    drop(probing);
    let next = tokio::select! {
        next = waiting => next,
        _ = &mut received => panic!("the waiting call has its turn first"),
    };
    assert!(futures_util::poll!(received.as_mut()).is_pending(), "the next call probes");
    drop(next);
    assert!(received.await.probe.is_some(), "no call waits");
}

/// Makes calls through `breaker`, of which the first `failing` fail. A job
/// ends with a response, or with a failure while no calls are held. Returns
/// the jobs in the order of their calls.
async fn calls(breaker: &Breaker, jobs: &[&str], failing: usize) -> String {
    let made = Mutex::new(String::new());
    let tasks = jobs.iter().map(|job| async {
        loop {
            let permit = breaker.call_permit().await;
            let called_at = Instant::now();
            let fails = {
                let mut made = made.lock().unwrap();
                made.push_str(job);
                made.len() <= failing
            };
            let health = if fails { FAILED } else { CallHealth::Responded };
            breaker.report(job, called_at, health);
            drop(permit);
            if !fails || !breaker.holds_calls() {
                return;
            }
        }
    });
    futures_util::future::join_all(tasks).await;
    std::mem::take(&mut *made.lock().unwrap())
}

#[tokio::test]
async fn waiting_calls_probe_in_turn_until_one_gets_a_response() {
    let breaker = breaker(QUICK);
    let started_at = Instant::now();
    breaker.report("x", started_at, FAILED);
    let made = calls(&breaker, &["a", "b", "c"], 4).await;
    assert_eq!(made[..5], *"abcab", "{made}");
    assert_eq!(made.len(), 7, "the remaining jobs run at once: {made}");
    assert!(started_at.elapsed() >= PAUSE * 5, "{:?}", started_at.elapsed());
}

#[tokio::test]
async fn no_call_is_held_longer_than_the_longest_hold() {
    let breaker = breaker(&format!("{QUICK}\nmax_hold_ms = 350"));
    let started_at = Instant::now();
    breaker.report("x", started_at, FAILED);
    let made = calls(&breaker, &["a", "b", "c", "d", "e"], usize::MAX).await;
    assert!(started_at.elapsed() >= Duration::from_millis(350), "{:?}", started_at.elapsed());
    // Three pauses fit, and then each job makes one more call.
    assert!((5..=8).contains(&made.len()), "{made}");
    assert_eq!(breaker.status().phase, BreakerPhase::GivenUp);
    assert!(breaker.receive_permit().await.probe.is_none());
    breaker.report("c", Instant::now(), CallHealth::Responded);
    assert_eq!(breaker.status().phase, BreakerPhase::Closed);
}

#[tokio::test]
async fn a_hanging_probe_delays_the_next_one_by_one_pause_only() {
    let breaker = breaker(QUICK);
    let started_at = Instant::now();
    breaker.report("x", started_at, FAILED);
    let hanging = breaker.call_permit().await;
    assert!(started_at.elapsed() >= PAUSE);
    let next = breaker.call_permit().await;
    assert!(started_at.elapsed() >= PAUSE * 2);
    drop((hanging, next));
}

#[tokio::test]
async fn a_dropped_probe_frees_the_slot_at_once() {
    let slow = breaker("failures = 1\nover_ms = 0\nopen_ms = 2000\nmax_open_ms = 2000");
    slow.report("x", Instant::now(), FAILED);
    let dropped = slow.call_permit().await;
    let mut next = std::pin::pin!(slow.call_permit());
    assert!(futures_util::poll!(next.as_mut()).is_pending(), "two calls at once");
    drop(dropped);
    // The task that keeps the slot notices at its next poll.
    let mut turns = 0;
    while futures_util::poll!(next.as_mut()).is_pending() {
        assert!(turns < 10, "the probe slot waits for a timer");
        turns += 1;
        tokio::task::yield_now().await;
    }
}
