//! `Location`s: those that are passed on, and those that are followed.

use super::server::Server;
use super::server::answer;
use super::tokens::SECRET;
use super::tokens::oauth2;
use super::*;

/// Returns the `location` that an adapter gets for one that a CSP sent.
async fn rewritten(location: &str, more: &str) -> Option<String> {
    let csp = Server::start([answer(202, &format!("location: {location}\r\n"), "")]).await;
    let client = client(&format!("{}/atat/v1", csp.url()), more);
    let result = exchange(&client, &get("/jobs"), &THRICE).await;
    assert_eq!(result.outcome(), "202");
    let seen = result.response().header("location")?;
    Some(seen.replace(&csp.url(), "BASE"))
}

#[tokio::test]
async fn a_usable_location_becomes_absolute() {
    for (location, expected) in [
        ("/provisioning/9/status", "BASE/provisioning/9/status"),
        ("9/status?x=%2F", "BASE/atat/v1/9/status?x=%2F"),
        ("../9", "BASE/atat/9"),
        ("?job=9", "BASE/atat/v1/jobs?job=9"),
        ("https://status.example.com/9", "https://status.example.com/9"),
    ] {
        let more = "allowed_origins = ['https://status.example.com']";
        assert_eq!(rewritten(location, more).await.as_deref(), Some(expected), "{location}");
    }
}

#[tokio::test]
async fn an_unusable_location_is_dropped() {
    for location in [
        "",
        "https://status.example.com/9",
        "//evil.example/9",
        "http://127.0.0.1:1/9",
        "http://user:secret@127.0.0.1/9",
        "http://localhost/9",
        "ftp://127.0.0.1/9",
        "javascript:alert(1)",
        "https://",
        "http://[::1",
    ] {
        assert_eq!(rewritten(location, "").await, None, "{location}");
    }
}

#[tokio::test]
async fn usable_locations_are_kept_among_several() {
    let headers = "location: https://evil.example/\r\nlocation: /9\r\nx: y\r\n";
    let csp = Server::start([answer(202, headers, "")]).await;
    let result = exchange(&client(&csp.url(), ""), &get("/jobs"), &THRICE).await;
    assert_eq!(result.response().header("location"), Some(&*format!("{}/9", csp.url())));
    assert_eq!(result.response().header("x"), Some("y"));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    for status in [301, 302, 303, 307, 308] {
        let csp = Server::start([answer(status, "location: /elsewhere\r\n", "")]).await;
        let result = exchange(&client(&csp.url(), ""), &get("/x"), &THRICE).await;
        assert_eq!((result.response().status, csp.calls()), (status, 1));
    }
}

#[tokio::test]
async fn a_location_outside_the_allowed_origins_gets_no_call_and_no_token() {
    let csp = Server::start([answer(200, "", "")]).await;
    let elsewhere = Server::start([answer(200, "", "")]).await;
    let idp = Server::start([answer(200, "", r#"{"access_token": "t"}"#)]).await;
    let oauth2 = oauth2(&idp.url(), SECRET);
    let follow = request(Method::Get, Target::Location(format!("{}/9", elsewhere.url())));

    let result = exchange(&client(&csp.url(), &oauth2), &follow, &THRICE).await;
    let failure = result.failure();
    assert_eq!((failure.code.as_str(), failure.sent), ("origin-refused", false));
    assert!(failure.message.contains(&elsewhere.url()), "{}", failure.message);
    assert!(result.calls == 0 && result.url.is_none());
    assert_eq!([csp.connections(), elsewhere.connections(), idp.connections()], [0, 0, 0]);

    // The default credential belongs to the origin of `base_url`.
    let allowed = format!("allowed_origins = ['{}']\n{oauth2}", elsewhere.url());
    let result = exchange(&client(&csp.url(), &allowed), &follow, &THRICE).await;
    assert_eq!(result.outcome(), "200");
    assert_eq!([csp.calls(), elsewhere.calls(), idp.calls()], [0, 1, 0]);
    assert!(!elsewhere.requests().concat().contains("authorization"));

    // An endpoint gets it, unless its own credential is another one.
    let endpoint = |more| {
        let url = elsewhere.url();
        format!("{oauth2}\n[endpoints.status]\nurl = '{url}'\n{more}")
    };
    let result = exchange(&client(&csp.url(), &endpoint("")), &follow, &THRICE).await;
    assert_eq!(result.outcome(), "200");
    assert_eq!([csp.calls(), elsewhere.calls(), idp.calls()], [0, 2, 1]);
    assert!(elsewhere.requests().concat().contains("authorization: Bearer t\r\n"));
    let open = endpoint("credential = 'none'");
    let result = exchange(&client(&csp.url(), &open), &follow, &THRICE).await;
    assert_eq!(result.outcome(), "200");
    assert_eq!([csp.calls(), elsewhere.calls(), idp.calls()], [0, 3, 1]);
    assert!(!elsewhere.requests()[2].contains("authorization"));
}

#[tokio::test]
async fn a_relative_location_starts_from_the_last_call() {
    let csp = Server::start([answer(200, "", "")]).await;
    let client = client(&format!("{}/atat", csp.url()), "");
    let first = exchange(&client, &get("/v2/jobs"), &THRICE).await;
    let context = Context { previous_url: first.url.as_ref(), ..CONTEXT };
    let follow = request(Method::Get, Target::Location("jobs/9".to_owned()));
    let second = client.exchange(&follow, &context).await;
    assert_eq!(second.url.unwrap().path(), "/atat/v2/jobs/9");
    assert!(csp.requests()[1].starts_with("GET /atat/v2/jobs/9 HTTP/1.1\r\n"));
}
