//! Log in with a key, log out.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::extract::Form;
use axum::extract::Query;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Redirect;
use axum::response::Response;
use maud::html;
use serde::Deserialize;

use super::ConsoleState;
use super::layout;
use super::session;
use crate::http::Rate;
use crate::http::audit;
use crate::http::auth::Principal;
use crate::metrics::table;

/// The attempts to log in, of all callers together. Anyone can cause them.
pub const ATTEMPTS: Rate = Rate {
    per_second: const { NonZeroU32::new(1).expect("it is not zero") },
    burst: const { NonZeroU32::new(20).expect("it is not zero") },
};

/// The page to show after the login.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Next {
    next: String,
}

/// The form of the login.
#[derive(Deserialize)]
pub struct LoginForm {
    key: String,
    #[serde(default)]
    next: String,
}

/// Handles `GET /console/login`.
pub async fn show(State(state): State<Arc<ConsoleState>>, Query(next): Query<Next>) -> Response {
    if state.sessions.is_open() {
        return Redirect::to("/console").into_response();
    }
    form(&state, StatusCode::OK, &next.next, None)
}

fn form(state: &ConsoleState, status: StatusCode, next: &str, problem: Option<&str>) -> Response {
    layout::bare(
        status,
        "Log in",
        &html! {
            @if !state.config.banner.is_empty() {
                @for line in state.config.banner.lines() { p { (line) } }
            }
            @if let Some(problem) = problem { p class="refusal" role="alert" { (problem) } }
            form method="post" action="/console/login" {
                // Password managers look for a name beside the key.
                input type="text" name="name" value="hoth" autocomplete="username" hidden;
                label {
                    "Key (a bearer token with the role viewer, operator or admin)"
                    input type="password" name="key" autocomplete="current-password" required autofocus;
                }
                input type="hidden" name="next" value=(next);
                p { button { "Log in" } }
            }
        },
    )
}

/// Handles `POST /console/login`.
pub async fn log_in(
    State(state): State<Arc<ConsoleState>>,
    Form(LoginForm { key, next }): Form<LoginForm>,
) -> Response {
    if state.sessions.is_open() {
        return Redirect::to("/console").into_response();
    }
    // One bucket for all: a caller with many addresses must not get many tries.
    if state.logins.take("", Instant::now()).is_err() {
        let problem = "Too many attempts. Try again in a few seconds.";
        return form(&state, StatusCode::TOO_MANY_REQUESTS, &next, Some(problem));
    }
    let now = state.admin.clock.now();
    let session = state.sessions.open(key.trim(), now);
    let cookie = session.as_ref().and_then(|session| state.sessions.set_cookie(session, now));
    let (Some(session), Some(cookie)) = (session, cookie) else {
        table::REQUESTS_REFUSED.with(&["unauthenticated"]).increment(1);
        audit::login_refused();
        let problem = "This key is not known, or its role may not see the console.";
        return form(&state, StatusCode::UNAUTHORIZED, &next, Some(problem));
    };
    audit::logged_in(&session.principal);
    ([(header::SET_COOKIE, cookie)], Redirect::to(&target(&next))).into_response()
}

/// Handles `POST /console/logout`.
pub async fn log_out(Extension(principal): Extension<Principal>) -> Response {
    audit::logged_out(&principal);
    let cookie = session::clear_cookie();
    ([(header::SET_COOKIE, cookie)], Redirect::to("/console/login")).into_response()
}

/// Returns the page to show after the login: one of this console, whatever the
/// link to the login says.
fn target(next: &str) -> String {
    let is_path = next.starts_with('/') && !next.starts_with("//");
    let is_plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if is_path && is_plain { format!("/console{next}") } else { "/console".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_login_leads_to_pages_of_the_console_only() {
        for (next, expected) in [
            ("", "/console"),
            ("/jobs?state=HELD", "/console/jobs?state=HELD"),
            ("//evil.example", "/console"),
            ("https://evil.example", "/console"),
            ("/a\r\nSet-Cookie: x", "/console"),
            ("/\\evil.example", "/console"),
        ] {
            assert_eq!(target(next), expected, "{next}");
        }
    }
}
