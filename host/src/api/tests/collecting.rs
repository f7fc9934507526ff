//! Collecting, leasing, acknowledging, releasing and redelivering outcomes.

use super::*;

const EXPIRED: &str = "The lease has expired; unconsumed outcomes are on the queue again";

#[tokio::test]
async fn a_plain_get_consumes_ten_at_a_time_in_order() {
    let host = Host::start().await;
    let ids: Vec<String> = (0..11).map(|n| format!("job-{n:02}")).collect();
    for id in &ids {
        host.outcome(JOBS, "p", id, "").await;
    }
    assert_eq!(host.get("/provisioning-jobs").await.ids(), ids[..10]);
    assert_eq!(host.get("/provisioning-jobs").await.ids(), ids[10..]);
    let empty = host.get("/provisioning-jobs").await;
    assert_eq!((empty.status, empty.body.as_str()), (200, "[]"));
    assert_eq!(empty.header("cache-control"), "no-store");
    assert_eq!(host.get("/cost-jobs").await.body, "[]");
    host.reaches(JOBS, 0, 0).await;
}

#[tokio::test]
async fn a_head_request_consumes_nothing() {
    let host = Host::start().await;
    host.outcomes(JOBS, "p", &["a"]).await;
    let mut stream = TcpStream::connect(host.address).await.expect("the listener accepts");
    let head = request("HEAD", "/provisioning-jobs", &[], b"");
    stream.write_all(&head).await.expect("the host reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the host responds");
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert!(answer.contains("\r\nallow: GET, POST, OPTIONS\r\n"), "{answer}");
    assert_eq!(host.get("/provisioning-jobs").await.ids(), ["a"]);
}

#[tokio::test]
async fn a_leased_batch_can_be_acknowledged_repeatedly() {
    let host = Host::start().await;
    host.outcomes(JOBS, "p", &["a", "b"]).await;
    let leased = host.get("/provisioning-jobs?lease=60").await;
    assert_eq!(leased.ids(), ["a", "b"]);
    let batch = json!({"batch": leased.header("hoth-batch")});
    host.outcomes(JOBS, "p", &["c"]).await;
    let blocked = host.get("/provisioning-jobs?lease=60").await;
    assert_eq!((blocked.body.as_str(), blocked.header("hoth-batch")), ("[]", ""));
    for _ in 0..2 {
        host.post("/provisioning-jobs/ack", &batch).await.is(200, &json!({}));
    }
    let released = host.post("/provisioning-jobs/release", &batch).await;
    released.is(409, &json!({"code": "OTHER", "reason": "LEASE_EXPIRED", "message": EXPIRED}));
    assert_eq!(host.get("/provisioning-jobs").await.ids(), ["c"]);
    host.reaches(JOBS, 0, 0).await;
}

#[tokio::test]
async fn a_released_batch_is_back_at_once_and_in_order() {
    let host = Host::start().await;
    host.outcomes(COSTS, "p", &["a", "b", "c"]).await;
    let leased = host.get("/cost-jobs?lease=43200").await;
    let batch = json!({"batch": leased.header("hoth-batch")});
    let waiting = host.get("/cost-jobs?wait=20");
    let released = async { host.post("/cost-jobs/release", &batch).await.is(200, &json!({})) };
    let (waited, ()) = tokio::join!(waiting, released);
    assert_eq!(waited.ids(), ["a", "b", "c"]);
    host.reaches(COSTS, 0, 0).await;
    host.outcomes(COSTS, "p", &["d"]).await;
    let leased = host.get("/cost-jobs?lease=60").await;
    let batch = json!({"batch": leased.header("hoth-batch")});
    host.post("/cost-jobs/release", &batch).await.is(200, &json!({}));
    for route in ["ack", "release"] {
        let late = host.post(&format!("/cost-jobs/{route}"), &batch).await;
        late.is(409, &json!({"code": "OTHER", "reason": "LEASE_EXPIRED", "message": EXPIRED}));
    }
    assert_eq!(host.get("/cost-jobs").await.ids(), ["d"]);
}

#[tokio::test]
async fn an_expired_lease_acknowledges_nothing() {
    let host = Host::start().await;
    host.outcomes(JOBS, "p", &["a", "b"]).await;
    let leased = host.get("/provisioning-jobs?lease=60").await;
    let name = leased.header("hoth-batch");
    host.advance(Duration::from_secs(60)).await;
    let problem = json!({"code": "OTHER", "reason": "LEASE_EXPIRED", "message": EXPIRED});
    let batch = json!({"batch": name});
    host.post("/provisioning-jobs/ack", &batch).await.is(409, &problem);
    host.post("/provisioning-jobs/release", &batch).await.is(409, &problem);
    let next = format!("/provisioning-jobs?lease=60&ack={name}");
    host.get(&next).await.is(409, &problem);
    let again = host.get("/provisioning-jobs?lease=60").await;
    assert_eq!(again.ids(), ["a", "b"]);
    // The first client cannot acknowledge what the second one holds.
    host.post("/provisioning-jobs/ack", &batch).await.is(409, &problem);
    let batch = json!({"batch": again.header("hoth-batch")});
    host.post("/provisioning-jobs/ack", &batch).await.is(200, &json!({}));
}

#[tokio::test]
async fn one_call_acknowledges_a_batch_and_leases_the_next() {
    let host = Host::start().await;
    let ids: Vec<String> = (0..25).map(|n| format!("job-{n:02}")).collect();
    for id in &ids {
        host.outcome(JOBS, "p", id, "").await;
    }
    let (mut target, mut got) = ("/provisioning-jobs?lease=60".to_owned(), Vec::new());
    loop {
        let batch = host.get(&target).await;
        got.extend(batch.ids());
        if batch.header("hoth-batch").is_empty() {
            break;
        }
        target = format!("/provisioning-jobs?lease=60&ack={}", batch.header("hoth-batch"));
    }
    assert_eq!(got, ids);
    host.reaches(JOBS, 0, 0).await;
}

#[tokio::test]
async fn malformed_batch_names_and_those_of_another_resource_are_refused() {
    let host = Host::start().await;
    host.outcomes(JOBS, "p", &["a"]).await;
    let leased = host.get("/provisioning-jobs?lease=60").await;
    let given = leased.header("hoth-batch").to_owned();
    let problem = |field: &str| {
        json!({
            "code": "INVALID_INPUT", "reason": "VALIDATION", "message": "Request failed validation",
            "errorMap": {field: "is not a Hoth-Batch of this resource"}
        })
    };
    for (resource, name) in [
        ("/cost-jobs", given.as_str()),
        ("/provisioning-jobs", &given[1..]),
        ("/provisioning-jobs", "garbage"),
        ("/provisioning-jobs", "MS4x"),
    ] {
        let batch = json!({"batch": name});
        host.post(&format!("{resource}/ack"), &batch).await.is(400, &problem("batch"));
        host.post(&format!("{resource}/release"), &batch).await.is(400, &problem("batch"));
        let next = host.get(&format!("{resource}?lease=60&ack={name}")).await;
        next.is(400, &problem("ack"));
    }
    host.get("/provisioning-jobs?lease=60&ack=").await.is(400, &problem("ack"));
    host.post("/provisioning-jobs/ack", &json!({"batch": given})).await.is(200, &json!({}));
}

#[tokio::test]
async fn leases_of_clients_survive_a_restart() {
    let host = Host::start().await;
    host.outcomes(JOBS, "p", &["a", "b"]).await;
    let leased = host.get("/provisioning-jobs?lease=60").await;
    let batch = json!({"batch": leased.header("hoth-batch")});
    let host = host.restart().await;
    assert_eq!(host.get("/provisioning-jobs").await.body, "[]");
    host.post("/provisioning-jobs/ack", &batch).await.is(200, &json!({}));
    host.reaches(JOBS, 0, 0).await;
}

#[tokio::test]
async fn consumed_and_acknowledged_outcomes_can_be_redelivered() {
    let host = Host::start().await;
    host.outcomes(JOBS, "p", &["a", "b", "c"]).await;
    let leased = host.get("/provisioning-jobs?lease=60").await;
    let batch = json!({"batch": leased.header("hoth-batch")});
    host.post("/provisioning-jobs/ack", &batch).await.is(200, &json!({}));
    host.outcomes(JOBS, "p", &["d"]).await;
    let ids = json!({"jobIds": ["c", "a", "unknown"]});
    let redeliver = async |which: Value| {
        host.post("/provisioning-jobs/redeliver", &which).await.json()["redelivered"].clone()
    };
    assert_eq!(redeliver(ids.clone()).await, 2);
    assert_eq!(redeliver(ids).await, 0, "the outcomes are on the queue already");
    assert_eq!(host.get("/provisioning-jobs").await.ids(), ["a", "c", "d"]);
    host.reaches(JOBS, 0, 0).await;
    host.advance(Duration::from_secs(24 * 60 * 60 - 1)).await;
    let since = json!({"since": "2023-11-14T22:13:20Z"});
    assert_eq!(redeliver(since.clone()).await, 4);
    assert_eq!(host.get("/provisioning-jobs").await.ids(), ["a", "b", "c", "d"]);
    host.reaches(JOBS, 0, 0).await;
    host.advance(Duration::from_secs(24 * 60 * 60)).await;
    assert_eq!(redeliver(since).await, 0, "the archive has expired");
}

#[tokio::test]
async fn unreadable_outcomes_do_not_block_readable_ones() {
    let host = Host::start().await;
    for n in 0..12 {
        host.message(JOBS, "p", &format!("bad-{n}"), "oops".to_owned()).await;
    }
    host.outcomes(JOBS, "p", &["good"]).await;
    host.message(JOBS, "p", "later", r#"{"v":99}"#.to_owned()).await;
    host.outcomes(JOBS, "p", &["better"]).await;
    assert_eq!(host.get("/provisioning-jobs").await.ids(), ["good", "better"]);
    host.reaches(JOBS, 0, 0).await;
    assert_eq!(host.stats(JOBS).await.dead_letters, 13);
}

#[tokio::test]
async fn a_long_poll_ends_with_the_first_outcome() {
    let host = Host::start().await;
    let started_at = Instant::now();
    let (got, ()) = tokio::join!(host.get("/cost-jobs?wait=20"), host.outcomes(COSTS, "p", &["a"]));
    assert_eq!(got.ids(), ["a"]);
    assert!(started_at.elapsed() < Duration::from_secs(20), "it waited to the end");
    let started_at = Instant::now();
    let nothing = host.get("/cost-jobs?wait=1").await;
    assert_eq!(nothing.body, "[]");
    assert!(started_at.elapsed() >= Duration::from_secs(1), "{:?}", started_at.elapsed());
}

#[tokio::test]
async fn a_wait_ends_when_the_host_stops() {
    let (host, started_at) = (Host::start().await, Instant::now());
    // The host may stop before or after the request has come.
    let (waiting, ()) = tokio::join!(host.get("/cost-jobs?wait=20"), async {
        tokio::task::yield_now().await;
        host.closing.cancel();
    });
    assert_eq!((waiting.status, waiting.body.as_str()), (200, "[]"));
    assert!(started_at.elapsed() < Duration::from_secs(19), "the wait went on");
}

#[tokio::test]
async fn outcomes_can_be_asked_for_while_a_host_without_room_stops() {
    let host = Host::without_room().await;
    assert!(matches!(host.queue.check().await, Err(QueueError::Full)));
    host.closing.cancel();
    let nothing = host.get("/cost-jobs?wait=0").await;
    assert_eq!((nothing.status, nothing.body.as_str()), (200, "[]"));
}

#[tokio::test]
async fn a_batch_has_a_bound_in_messages_and_in_bytes() {
    let config = Config { max_batch_bytes: 2_500, ..Config::default() };
    let host = Host::with(config, AuthConfig::default()).await;
    let small = "x".repeat(700);
    for (id, filling) in [("a", &*small), ("b", &small), ("c", &small), ("d", &"x".repeat(9_000))] {
        host.outcome(JOBS, "p", id, filling).await;
    }
    host.outcomes(JOBS, "p", &["e", "f", "g"]).await;
    assert_eq!(host.get("/provisioning-jobs?max=1").await.ids(), ["a"]);
    host.reaches(JOBS, 6, 0).await;
    // What does not fit is on its queue again at once, behind nothing else.
    let leased = host.get("/provisioning-jobs?lease=60").await;
    assert_eq!(leased.ids(), ["b", "c"]);
    assert!(leased.body.len() <= 2_500);
    host.reaches(JOBS, 4, 2).await;
    let batch = json!({"batch": leased.header("hoth-batch")});
    host.post("/provisioning-jobs/ack", &batch).await.is(200, &json!({}));
    assert_eq!(host.get("/provisioning-jobs").await.ids(), ["d"], "alone, and too large");
    host.reaches(JOBS, 3, 0).await;
    assert_eq!(host.get("/provisioning-jobs?max=2").await.ids(), ["e", "f"]);
    assert_eq!(host.get("/provisioning-jobs").await.ids(), ["g"]);
}
