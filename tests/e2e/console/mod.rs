//! The console in a real browser.

mod acts;
mod browser;
mod held;
mod hostile;
mod job_acts;
mod journals;
mod login;
mod pages;
mod peers;
mod traffic;
mod troubles;
mod versions;

use std::fmt::Write as _;

use mock_csp::MockCsp;
use reqwest::redirect::Policy;

use crate::auth::bearer_keys;
use crate::csp;
use crate::harness::ServiceNow;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::client;
use crate::harness::client_builder;
use crate::harness::job;
use browser::Browser;
use browser::Script;

/// The roles that may see the console; the token of a role is `<role>-token`.
const ROLES: [&str; 5] = ["read", "write", "viewer", "operator", "admin"];

/// Returns a setup with a key for every role, and `CSP_TEST`.
fn setup(csp: &MockCsp, more: &str) -> Setup {
    setup_with(csp, "", more)
}

/// Returns a setup with more lines for the table of `CSP_TEST`.
fn setup_with(csp: &MockCsp, lines: &str, more: &str) -> Setup {
    let mut tables = bearer_keys(&ROLES);
    writeln!(tables, "{more}").expect("writing to a string succeeds");
    Setup::new()
        .csp_with("CSP_TEST", csp, lines)
        .with(&tables)
        // The disk of the machine does not matter to the other tests.
        .environment("HOTH__CONSOLE__WARN__DISK_FREE_PERCENT", "0")
        .admin_token("admin-token")
}

/// Starts a host with a key for every role, and `CSP_TEST`, which does
/// everything at once.
async fn host() -> (TestHost, MockCsp) {
    let csp = csp::sync().await;
    let host = setup(&csp, "").start().await;
    (host, csp)
}

/// Starts a browser that is logged in with this role.
async fn logged_in(host: &TestHost, role: &str) -> Browser {
    let browser = Browser::start(host, Script::On).await;
    browser.log_in(&format!("{role}-token")).await;
    browser
}

/// Logs in without a browser, and returns the session's cookie.
async fn cookie(host: &TestHost, key: &str) -> String {
    let client = client_builder().redirect(Policy::none()).build().expect("a client");
    let login = client
        .post(format!("{}/console/login", host.admin()))
        .header("sec-fetch-site", "same-origin")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("key={key}"));
    let login = login.send().await.expect("HOTH answers");
    let cookie = login.headers()["set-cookie"].to_str().expect("text");
    cookie.split(';').next().expect("a value").to_owned()
}

/// Logs in without a browser, and returns a function that reads a page.
async fn session(host: &TestHost, key: &str) -> impl AsyncFn(&str) -> String {
    let (client, base, cookie) = (client(), host.admin(), cookie(host, key).await);
    async move |path: &str| {
        let page = client.get(format!("{base}{path}")).header("cookie", cookie.clone());
        page.send().await.expect("HOTH answers").text().await.expect("text")
    }
}

/// The queue of the requests of `CSP_TEST`.
const REQUESTS: &str = "provisioning-requests-CSP_TEST";

/// Returns a client that calls the host as ServiceNow does.
fn servicenow(host: &TestHost) -> ServiceNow {
    ServiceNow::at(client(), host.api(), Some("write-token"))
}

/// Stops the host, adds messages that are no jobs, as another program might,
/// and starts it again.
async fn add_garbage(host: &mut TestHost, ids: &[&str]) {
    // Makes the row of the queue.
    let snow = servicenow(host);
    snow.provision(&job("first", "CSP_TEST", "ADD_PORTFOLIO")).await;
    assert_eq!(snow.outcome().await.code(), 200);
    host.emptied().await;
    assert_eq!(host.terminate().await, Some(0));
    let file = host.directory().join("data/hoth.db");
    let sql = rusqlite::Connection::open(file).expect("the queue is a database");
    for id in ids {
        let inserted = sql.execute(
            "INSERT INTO messages (queue, grp, key, sent_at, visible_at, head)
             SELECT id, ?1, ?1, 0, 0, 1 FROM queues WHERE name = ?2",
            [*id, REQUESTS],
        );
        assert_eq!(inserted.expect("it can be written"), 1);
        let body = format!("<script>{id}</script>");
        sql.execute("INSERT INTO bodies VALUES (last_insert_rowid(), ?1)", [body])
            .expect("it can be written");
    }
    drop(sql);
    host.restart().await;
}
