//! The names by which a host without keys may be called.
//!
//! Such a host listens on loopback only, and accepts every request. A web page
//! can point its own name at 127.0.0.1 (DNS rebinding), and the browser then
//! takes the host for the page's own server: the request has no `Origin`, and
//! the page may read the response. The `Host` header still has the name of the
//! page, so only the names and addresses of this machine are accepted.

use http::header;
use http::request::Parts;
use http::uri::Authority;

use super::error::FrontError;
use hoth_platform::loopback::is_loopback_host;

/// Checks that the request names this machine, or nothing: a client of HTTP/1.0
/// may leave the header out, and browsers never do.
///
/// # Errors
///
/// Returns [`FrontError::ForeignHost`] for any other name.
pub fn check(head: &Parts) -> Result<(), FrontError> {
    let Some(host) = head.headers.get(header::HOST) else { return Ok(()) };
    let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
    match authority.is_some_and(|authority| is_loopback_host(authority.host())) {
        true => Ok(()),
        false => Err(FrontError::ForeignHost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_and_addresses_of_this_machine_are_accepted() {
        for (host, expected) in [
            (Some("localhost"), true),
            (Some("LocalHost:8081"), true),
            (Some("hoth.localhost."), true),
            (Some("127.0.0.1:8081"), true),
            (Some("127.9.9.9"), true),
            (Some("[::1]:8081"), true),
            (Some("evil.example:8081"), false),
            (Some("localhost.evil.example"), false),
            (Some("127.0.0.1.evil.example"), false),
            (Some("127.0.0.1@evil.example"), false),
            (Some("10.0.0.1"), false),
            (Some("0.0.0.0"), false),
            (Some("[::]"), false),
            (Some(""), false),
            (None, true),
        ] {
            let mut request = http::Request::get("/queues");
            if let Some(host) = host {
                request = request.header(header::HOST, host);
            }
            let (head, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(check(&head).is_ok(), expected, "{host:?}");
        }
    }
}
