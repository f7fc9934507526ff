//! The connections of calls: kept, shared, replaced and closed.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::h2_server;
use super::h2_server::H2Server;
use super::server;
use super::server::Act;
use super::server::Server;
use super::server::answer;
use super::tls_server::Authority;
use super::*;

#[tokio::test]
async fn connections_are_reused() {
    let csp = Server::start([answer(200, "", "x")]).await;
    let client = client(&csp.url(), "");
    for _ in 0..3 {
        assert_eq!(exchange(&client, &get("/x"), &THRICE).await.outcome(), "200");
    }
    assert_eq!((csp.calls(), csp.connections()), (3, 1));
}

#[tokio::test]
async fn a_connection_that_the_csp_closed_while_it_was_idle_is_replaced() {
    let csp = Server::start([Act::AnswerAndClose(server::bytes(200, "", "x"))]).await;
    let client = client(&csp.url(), "");
    for call in 1..=3 {
        // Not idempotent and tried once: nothing hides a call that fails.
        let post = request(Method::Post, Target::Path("/x".into()));
        let result = exchange(&client, &post, &RetryPolicy::ONCE).await;
        assert_eq!((result.outcome().as_str(), result.calls), ("200", 1));
        csp.closed(call).await;
    }
    assert_eq!((csp.calls(), csp.connections()), (3, 3));
}

#[tokio::test]
async fn a_connection_that_stays_idle_is_closed() {
    let csp = Server::start([answer(200, "", "x")]).await;
    let client = client(&csp.url(), "");
    assert_eq!(exchange(&client, &get("/x"), &THRICE).await.outcome(), "200");
    csp.closed(1).await;
    assert_eq!(exchange(&client, &get("/x"), &THRICE).await.outcome(), "200");
    assert_eq!((csp.calls(), csp.connections()), (2, 2));
}

#[tokio::test]
async fn calls_at_the_same_time_have_connections_of_their_own() {
    let gate = Arc::new(Semaphore::new(0));
    let csp = Server::start([Act::Gated(Arc::clone(&gate), server::bytes(200, "", "x"))]).await;
    let (client, get) = (client(&csp.url(), ""), get("/x"));
    for _round in 0..2 {
        let calls = (0..3).map(|_| exchange(&client, &get, &THRICE));
        let open = async {
            csp.reached(csp.calls() + 3).await;
            gate.add_permits(3);
        };
        let (results, ()) = tokio::join!(futures_util::future::join_all(calls), open);
        assert!(results.iter().all(|result| result.outcome() == "200"));
    }
    assert_eq!((csp.calls(), csp.connections()), (6, 3));
}

#[tokio::test]
async fn a_connection_is_not_reused_after_an_unread_body_or_at_the_wish_of_the_csp() {
    let unread = answer(200, "", &"x".repeat(1025));
    let close = answer(200, "connection: close\r\n", "x");
    for (first, outcome) in [(unread, "too-large"), (close, "200")] {
        let csp = Server::start([first, answer(200, "", "x")]).await;
        let client = client(&csp.url(), "max_response_bytes = 1024");
        for outcome in [outcome, "200"] {
            let result = exchange(&client, &get("/x"), &RetryPolicy::ONCE).await;
            assert_eq!(result.outcome(), outcome);
        }
        assert_eq!((csp.calls(), csp.connections()), (2, 2), "{outcome}");
    }
}

#[tokio::test]
async fn calls_share_a_connection_of_http2() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let csp = H2Server::start(&authority, vec![h2_server::Act::Answer]).await;
    let client = resolving("127.0.0.1", &csp.url(), &trusting(&authority, dir.path()));
    let get = get("/x");
    assert_eq!(exchange(&client, &get, &THRICE).await.outcome(), "200");
    let calls = (0..8).map(|_| exchange(&client, &get, &THRICE));
    let results = futures_util::future::join_all(calls).await;
    assert!(results.iter().all(|result| result.outcome() == "200"));
    assert_eq!(csp.connections(), 1);
}
