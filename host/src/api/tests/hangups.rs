//! Clients that hang up at any moment and in any way.
//!
//! Outcomes whose response the kernel took whole are consumed, even if the
//! client did not read them. All other outcomes return to the queue. No outcome
//! is lost, and a client that reads to the end gets none twice.

use super::*;

/// Several portfolios, so that the order within each can be checked.
const PORTFOLIOS: usize = 8;
const OUTCOMES: usize = 60;

/// The number of rounds, and of broken connections per client in each round.
const ROUNDS: u64 = 32;
const HANGUPS: usize = 16;

/// A lease that never expires by itself, because the clock stands still.
const LEASE: Duration = Duration::from_secs(60);

/// Pseudorandom numbers, the same in every run (the LCG of Numerical Recipes).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits fit") % bound
    }
}

/// Sends a request and hangs up at a random point. Returns the response if the
/// client happened to read all of it.
async fn break_off(host: &Host, numbers: &mut Numbers, request: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(host.address).await.expect("the listener accepts");
    let reset = numbers.below(2) == 0;
    let way = numbers.below(6);
    let sent = if way == 0 { numbers.below(request.len()) } else { request.len() };
    stream.write_all(&request[..sent]).await.expect("the host reads");
    // hyper treats a half-closed connection as closed.
    if way == 1 {
        stream.shutdown().await.expect("it can be shut down");
    }
    let limit = match way {
        0 | 2 => 0,
        1 => usize::MAX,
        3 => 1 + numbers.below(400),
        4 => 1 + numbers.below(60_000),
        _ => usize::MAX,
    };
    let mut bytes = Vec::new();
    let mut part = [0; 2_048];
    while bytes.len() < limit {
        let most = part.len().min(limit - bytes.len());
        match stream.read(&mut part[..most]).await {
            Ok(0) | Err(_) => break,
            Ok(read) => bytes.extend_from_slice(&part[..read]),
        }
    }
    if reset {
        stream.set_zero_linger().expect("a socket can be reset");
    }
    Answer::parse(&bytes)
}

fn id(n: usize) -> String {
    format!("{:02}-{n:03}", n % PORTFOLIOS)
}

async fn stocked() -> Host {
    let host = Host::start().await;
    let mut numbers = Numbers(7);
    for n in 0..OUTCOMES {
        let filling = "x".repeat(if n % 10 == 0 { 200_000 } else { numbers.below(4_000) });
        host.outcome(JOBS, &format!("p{}", n % PORTFOLIOS), &id(n), &filling).await;
    }
    host
}

fn all() -> Vec<String> {
    let mut ids: Vec<String> = (0..OUTCOMES).map(id).collect();
    ids.sort();
    ids
}

/// Fails unless each portfolio's ids are in order and none is there twice.
#[track_caller]
fn check_order(ids: &[String]) {
    for portfolio in 0..PORTFOLIOS {
        let prefix = format!("{portfolio:02}-");
        let of: Vec<&String> = ids.iter().filter(|id| id.starts_with(&prefix)).collect();
        assert!(of.is_sorted_by(|one, next| one < next), "{of:?}");
    }
}

/// Collects until the queue is empty.
async fn drain(host: &Host) -> Vec<String> {
    let (started_at, mut drained) = (Instant::now(), Vec::new());
    loop {
        drained.extend(host.get("/provisioning-jobs").await.ids());
        let stats = host.stats(JOBS).await;
        if stats.depth + stats.in_flight == 0 {
            return drained;
        }
        assert!(started_at.elapsed() < DEADLINE, "still {stats:?}");
    }
}

async fn redeliver(host: &Host, which: Value) -> u64 {
    let answer = host.post("/provisioning-jobs/redeliver", &which).await;
    answer.json()["redelivered"].as_u64().expect("a count")
}

const EVERYTHING: &str = "2000-01-01T00:00:00Z";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_hang_ups_lose_no_consumed_outcome() {
    let host = stocked().await;
    let request = request("GET", "/provisioning-jobs", &[], b"");
    for round in 0..ROUNDS {
        let client = async |seed: u64| {
            let (mut numbers, mut read) = (Numbers(seed), Vec::new());
            for _ in 0..HANGUPS {
                if let Some(answer) = break_off(&host, &mut numbers, &request).await {
                    read.extend(answer.ids());
                }
            }
            read
        };
        let (one, other) = tokio::join!(client(2 * round), client(2 * round + 1));
        check_order(&one);
        check_order(&other);
        let drained = drain(&host).await;
        check_order(&drained);
        let got = recovered(&host, [one, other, drained].concat()).await;
        assert_eq!(got, all(), "round {round}");
        let everything = json!({"since": EVERYTHING});
        assert_eq!(redeliver(&host, everything).await, OUTCOMES as u64);
    }
    let drained = drain(&host).await;
    assert_eq!(recovered(&host, drained).await, all());
}

/// Redelivers and collects the outcomes that are not in `got` until none is
/// missing.
///
/// The kernel took some responses that no client read to the end. Their outcomes
/// are consumed, so redelivery must return them. Requests whose clients have hung
/// up may still be served meanwhile, and consume some of them again.
async fn recovered(host: &Host, mut got: Vec<String>) -> Vec<String> {
    let started_at = Instant::now();
    loop {
        got.sort();
        let lost: Vec<String> = all().into_iter().filter(|id| !got.contains(id)).collect();
        if lost.is_empty() {
            return got;
        }
        assert!(started_at.elapsed() < DEADLINE, "still {lost:?}");
        assert_eq!(redeliver(host, json!({"jobIds": lost})).await, lost.len() as u64);
        let again = drain(host).await;
        check_order(&again);
        got.extend(again);
    }
}

/// Acknowledges a leased batch. Repeats the request until a response arrives,
/// whatever happens to the connections.
async fn acknowledge(host: &Host, numbers: &mut Numbers, leased: &Answer) -> Vec<String> {
    let batch = json!({"batch": leased.header("hoth-batch")}).to_string();
    let json = [("content-type", "application/json")];
    let request = request("POST", "/provisioning-jobs/ack", &json, batch.as_bytes());
    let started_at = Instant::now();
    loop {
        if let Some(answer) = break_off(host, numbers, &request).await {
            answer.is(200, &json!({}));
            return leased.ids();
        }
        assert!(started_at.elapsed() < DEADLINE, "no response arrived");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_hang_ups_lose_no_leased_outcome() {
    let host = stocked().await;
    let request = request("GET", "/provisioning-jobs?lease=60", &[], b"");
    for round in 0..ROUNDS {
        let client = async |seed: u64| {
            let (mut numbers, mut acknowledged) = (Numbers(seed), Vec::new());
            for _ in 0..HANGUPS {
                let answer = break_off(&host, &mut numbers, &request).await;
                if let Some(leased) = answer.filter(|answer| answer.body != "[]") {
                    acknowledged.extend(acknowledge(&host, &mut numbers, &leased).await);
                }
            }
            acknowledged
        };
        let (one, other) = tokio::join!(client(2 * round), client(2 * round + 1));
        let mut got = [one, other].concat();
        let started_at = Instant::now();
        while got.len() < OUTCOMES {
            // A client that hung up after the last byte still holds a lease.
            host.advance(LEASE).await;
            let leased = host.get("/provisioning-jobs?lease=60").await;
            if leased.body != "[]" {
                got.extend(acknowledge(&host, &mut Numbers(round), &leased).await);
            }
            assert!(started_at.elapsed() < DEADLINE, "still {:?}", host.stats(JOBS).await);
        }
        host.reaches(JOBS, 0, 0).await;
        got.sort();
        assert_eq!(got, all(), "round {round}");
        let everything = json!({"since": EVERYTHING});
        assert_eq!(redeliver(&host, everything).await, OUTCOMES as u64);
    }
}

#[tokio::test]
async fn an_unflushed_response_is_requeued_at_once_and_in_order() {
    let config = Config { max_batch_bytes: 16 << 20, ..Config::default() };
    let host = Host::with(config, AuthConfig::default()).await;
    let ids: Vec<String> = (0..10).map(|n| format!("job-{n}")).collect();
    let filling = "x".repeat(1_000_000);
    for id in &ids {
        host.outcome(JOBS, "p", id, &filling).await;
    }
    for target in ["/provisioning-jobs", "/provisioning-jobs?lease=60"] {
        for reset in [true, false] {
            // Ten megabytes are more than the kernel buffers for a slow reader.
            let mut slow = host.connect_narrowly().await;
            slow.write_all(&request("GET", target, &[], b"")).await.expect("the host reads");
            slow.read_exact(&mut [0; 1_000]).await.expect("the host responds");
            host.reaches(JOBS, 0, 10).await;
            if reset {
                slow.set_zero_linger().expect("a socket can be reset");
            }
            drop(slow);
            host.reaches(JOBS, 10, 0).await;
        }
    }
    assert_eq!(redeliver(&host, json!({"since": EVERYTHING})).await, 0, "none was consumed");
    assert_eq!(host.get("/provisioning-jobs").await.ids(), ids);
    host.reaches(JOBS, 0, 0).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_while_it_waits_leaves_no_lease() {
    // With a single slot, a connection is served only after the previous one
    // has ended.
    let config = Config { max_connections: 1, ..Config::default() };
    let host = Host::with(config, AuthConfig::default()).await;
    for (n, target) in ["?wait=20", "?wait=20&lease=60"].into_iter().cycle().take(20).enumerate() {
        let target = format!("/provisioning-jobs{target}");
        let mut waiting = TcpStream::connect(host.address).await.expect("the listener accepts");
        waiting.write_all(&request("GET", &target, &[], b"")).await.expect("the host reads");
        let patience = Duration::from_millis(n as u64);
        let answer = tokio::time::timeout(patience, waiting.read_u8()).await;
        assert!(answer.is_err(), "{answer:?}");
        drop(waiting);
        assert_eq!(host.get("/openapi.json").await.status, 200);
        let id = format!("job-{n}");
        host.outcomes(JOBS, "p", &[&id]).await;
        assert_eq!(host.get("/provisioning-jobs").await.ids(), [id]);
        host.reaches(JOBS, 0, 0).await;
    }
}
