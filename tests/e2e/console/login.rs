//! Login, logout, and the ends of a session.

use std::time::Instant;

use reqwest::StatusCode;
use reqwest::header;
use reqwest::redirect::Policy;

use super::browser::Browser;
use super::browser::Script;
use super::cookie;
use super::host;
use super::logged_in;
use super::setup;
use crate::csp;
use crate::harness::PATIENCE;
use crate::harness::POLL_INTERVAL;
use crate::harness::Setup;
use crate::harness::client_builder;

/// The media type of forms.
const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn only_keys_of_people_log_in_and_a_login_leads_back_to_the_page() {
    let (host, _csp) = host().await;
    let browser = Browser::start(&host, Script::On).await;
    browser.open("/console/queues").await;
    assert_eq!(browser.path().await, "/console/login?next=%2Fqueues");
    browser.is_accessible().await;
    for key in ["wrong", "read-token", "write-token"] {
        browser.fill("key", key).await;
        browser.click("Log in").await;
        browser.sees("This key is not known, or its role may not see the console.").await;
        browser.is_accessible().await;
    }
    browser.fill("key", "viewer-token").await;
    browser.click("Log in").await;
    browser.sees("viewer-key · viewer").await;
    assert_eq!(browser.path().await, "/console/queues");
    browser.click("Log out").await;
    browser.sees("Key (a bearer token").await;
    browser.open("/console/queues").await;
    assert_eq!(browser.heading().await, "Log in");
    for (act, by) in
        [("log-in", "viewer-key"), ("log-out", "viewer-key"), ("log-in-refused", "unknown")]
    {
        host.logged(act, |line| line["act"] == act && line["by"] == by).await;
    }
    browser.close().await;
}

#[tokio::test]
async fn a_restart_ends_every_session() {
    let (mut host, _csp) = host().await;
    let browser = logged_in(&host, "admin").await;
    let cookies = browser.evaluate("return document.cookie").await;
    assert_eq!(cookies, "", "scripts cannot read the session");
    let before = host.admin();
    host.kill().await;
    host.restart().await;
    // A host gets another port; a session of the process before is refused all
    // the same, as the cookie of a browser is not bound to a port.
    assert_ne!(host.admin(), before);
    let client = client_builder().redirect(Policy::none()).build().expect("a client");
    let session = client
        .post(format!("{}/console/login", host.admin()))
        .header("sec-fetch-site", "same-origin")
        .header(header::CONTENT_TYPE, FORM)
        .body("key=admin-token")
        .send()
        .await
        .expect("HOTH answers");
    let cookie = session.headers()[header::SET_COOKIE].to_str().expect("text").to_owned();
    for attribute in ["Path=/console", "HttpOnly", "Secure", "SameSite=Strict"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("admin-token"), "{cookie}");
    let value = cookie.split(';').next().expect("a value").to_owned();
    let page = |cookie: String| {
        let request = client.get(format!("{}/console", host.admin()));
        async move {
            request.header(header::COOKIE, cookie).send().await.expect("HOTH answers").status()
        }
    };
    assert_eq!(page(value.clone()).await, StatusCode::OK);
    assert_eq!(page(format!("{value}x")).await, StatusCode::SEE_OTHER);
    browser.close().await;
}

/// Checks both ends of a session by time. No request has to come before an end,
/// so a busy machine changes nothing.
#[tokio::test]
async fn a_session_ends_by_time_on_a_running_host() {
    let csp = csp::sync().await;
    let client = client_builder().redirect(Policy::none()).build().expect("a client");
    for (limits, max_age, renews) in [
        // A cookie that is not renewed, as no request of a person comes.
        ("session_idle_s = 2\nsession_max_s = 3600", 3_600, false),
        // Each request renews the cookie, and the session ends all the same.
        ("session_idle_s = 3600\nsession_max_s = 2", 2, true),
    ] {
        let host = setup(&csp, &format!("[console]\n{limits}")).start().await;
        let first = cookie(&host, "viewer-token").await;
        let mut value = first.clone();
        let started_at = Instant::now();
        loop {
            let page = client.get(format!("{}/console/queues", host.admin()));
            let page = page.header(header::COOKIE, &value).send().await.expect("HOTH answers");
            if page.status() == StatusCode::SEE_OTHER {
                assert_eq!(page.headers()[header::LOCATION], "/console/login?next=%2Fqueues");
                break;
            }
            assert_eq!(page.status(), StatusCode::OK);
            let renewed = page.headers()[header::SET_COOKIE].to_str().expect("text");
            assert!(renewed.contains(&format!("Max-Age={max_age}")), "{renewed}");
            if renews {
                renewed.split(';').next().expect("a value").clone_into(&mut value);
            }
            assert!(started_at.elapsed() < PATIENCE, "the session does not end");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        // The key opens another session.
        assert_ne!(cookie(&host, "viewer-token").await, first);
    }
}

#[tokio::test]
async fn an_act_of_another_site_is_refused() {
    let (host, _csp) = host().await;
    let client = client_builder().redirect(Policy::none()).build().expect("a client");
    let log_in = |name: &'static str, value: String| {
        let request = client.post(format!("{}/console/login", host.admin()));
        let request =
            request.header(header::CONTENT_TYPE, FORM).body("key=admin-token").header(name, value);
        async move { request.send().await.expect("HOTH answers").status() }
    };
    for (name, value, expected) in [
        ("sec-fetch-site", "cross-site".to_owned(), StatusCode::FORBIDDEN),
        ("origin", "https://evil.example".to_owned(), StatusCode::FORBIDDEN),
        ("accept", "*/*".to_owned(), StatusCode::FORBIDDEN),
        ("origin", host.admin(), StatusCode::SEE_OTHER),
    ] {
        assert_eq!(log_in(name, value.clone()).await, expected, "{name}: {value}");
    }
    // The admin API beside it still takes no request of a page at all.
    let api = client.get(format!("{}/queues", host.admin())).header("origin", host.admin());
    let api = api.bearer_auth("admin-token").send().await.expect("HOTH answers");
    assert_eq!(api.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_host_without_keys_needs_no_login_and_one_may_leave_the_console_out() {
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let browser = Browser::start(&host, Script::On).await;
    browser.open("/").await;
    browser.sees("anyone · admin").await;
    assert_eq!(browser.path().await, "/console");
    browser.close().await;
    let foreign =
        client_builder().build().expect("a client").get(format!("{}/console", host.admin()));
    let foreign = foreign.header(header::HOST, "evil.example").send().await.expect("HOTH answers");
    assert_eq!(foreign.status(), StatusCode::FORBIDDEN);
    let host = Setup::new().csp("CSP_TEST", &csp).with("[console]\nenabled = false").start().await;
    let client = client_builder().build().expect("a client");
    let page = client.get(format!("{}/console", host.admin())).send().await.expect("HOTH answers");
    assert_eq!(page.status(), StatusCode::NOT_FOUND);
}
