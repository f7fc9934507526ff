//! Sessions: who is logged in, in a sealed cookie.
//!
//! The host keeps no table of sessions. The cookie names the key and two times,
//! and a MAC with a secret of this process seals it together with the key's
//! digest. So a restart ends every session, and a key that is removed or
//! replaced ends its own.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Hmac;
use hmac::Mac as _;
use sha2::Sha256;
use uuid::Uuid;

use crate::http::auth::Access;
use crate::http::auth::Keys;
use crate::http::auth::Principal;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;

/// The name of the cookie.
pub const COOKIE: &str = "hoth_session";

/// The times after which a session ends.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// Without a request by a person.
    pub idle: Duration,
    /// In any case.
    pub total: Duration,
}

/// The bytes of the MAC.
const MAC_BYTES: usize = 32;

/// A logged-in person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    pub principal: Principal,
    started_at: Timestamp,
    seen_at: Timestamp,
}

/// Opens and resumes sessions.
pub struct Sessions {
    mac: Hmac<Sha256>,
    keys: Keys,
    limits: SessionLimits,
}

impl Sessions {
    /// Creates an opener with a random secret.
    pub fn new(keys: Keys, limits: SessionLimits) -> Self {
        // Two of them have 244 random bits, of the operating system.
        let secret = [Uuid::new_v4(), Uuid::new_v4()].map(Uuid::into_bytes).concat();
        let mac = Hmac::new_from_slice(&secret).expect("HMAC takes keys of any length");
        Self { mac, keys, limits }
    }

    /// Returns `true` on a host without keys, where everyone on this machine
    /// may do everything.
    pub fn is_open(&self) -> bool {
        self.keys.is_open()
    }

    /// Opens a session for the holder of a bearer token whose role may see the
    /// console.
    pub fn open(&self, token: &str, now: Timestamp) -> Option<Session> {
        let principal = self.keys.bearer(token).ok()?;
        principal.role.permits(Access::View).then_some(Session {
            principal,
            started_at: now,
            seen_at: now,
        })
    }

    /// Returns the session of a cookie; `None` if it is over, or if no process
    /// with these keys has sealed it.
    pub fn resume(&self, cookie: &str, now: Timestamp) -> Option<Session> {
        let bytes = URL_SAFE_NO_PAD.decode(cookie).ok()?;
        let (mac, sealed) = bytes.split_at_checked(MAC_BYTES)?;
        let (times, name) = sealed.split_at_checked(16)?;
        let (principal, key) = self.keys.bearer_named(str::from_utf8(name).ok()?)?;
        self.mac(sealed, &key).verify_slice(mac).ok()?;
        let time = |at: usize| {
            let bytes = times[at..at + 8].try_into().expect("the slice has 8 bytes");
            Timestamp::from_millis(u64::from_be_bytes(bytes))
        };
        let (started_at, seen_at) = (time(0), time(8));
        let SessionLimits { idle, total } = self.limits;
        let is_over = now >= started_at + total || now >= seen_at + idle;
        let may_view = principal.role.permits(Access::View);
        (may_view && !is_over).then_some(Session { principal, started_at, seen_at })
    }

    /// Returns the value of the cookie for a session that is seen `now`. `None`
    /// if the key is gone.
    fn seal(&self, session: &Session, now: Timestamp) -> Option<String> {
        let name = session.principal.key.as_deref()?;
        let (_, key) = self.keys.bearer_named(name)?;
        let mut sealed = session.started_at.as_millis().to_be_bytes().to_vec();
        sealed.extend_from_slice(&now.as_millis().to_be_bytes());
        sealed.extend_from_slice(name.as_bytes());
        let mut bytes = self.mac(&sealed, &key).finalize().into_bytes().to_vec();
        bytes.extend_from_slice(&sealed);
        Some(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// Returns the `Set-Cookie` of a session that is seen `now`. `None` if the
    /// key is gone.
    pub fn set_cookie(&self, session: &Session, now: Timestamp) -> Option<String> {
        let value = self.seal(session, now)?;
        let max_age = self.limits.total.as_secs();
        Some(format!("{COOKIE}={value}; {ATTRIBUTES}; Max-Age={max_age}"))
    }

    fn mac(&self, sealed: &[u8], key: &Digest) -> Hmac<Sha256> {
        let mut mac = self.mac.clone();
        // Of fixed length, so the two parts cannot be confused.
        mac.update(key.as_bytes());
        mac.update(sealed);
        mac
    }
}

/// The attributes of the cookie.
///
/// `Secure` also holds on loopback, which browsers treat as secure. `Strict`
/// keeps the cookie from requests that other sites start.
const ATTRIBUTES: &str = "Path=/console; HttpOnly; Secure; SameSite=Strict";

/// Returns the `Set-Cookie` that ends a session.
pub fn clear_cookie() -> String {
    format!("{COOKIE}=; {ATTRIBUTES}; Max-Age=0")
}

/// Returns the session's cookie among those of a request.
pub fn cookie(header: &str) -> Option<&str> {
    let mut pairs = header.split(';').filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::auth::AuthConfig;

    fn keys(token: &str, role: &str) -> Keys {
        let sha256 = Digest::of(token.as_bytes());
        let config = format!("[[bearer]]\nname = 'ops'\nrole = '{role}'\nsha256 = '{sha256}'");
        let config: AuthConfig = toml::from_str(&config).unwrap();
        Keys::new(config.open().unwrap())
    }

    const LIMITS: SessionLimits =
        SessionLimits { idle: Duration::from_mins(15), total: Duration::from_hours(8) };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_session_ends_after_idle_time_and_in_any_case() {
        let sessions = Sessions::new(keys("token", "viewer"), LIMITS);
        let session = sessions.open("token", at(0)).unwrap();
        let cookie = sessions.seal(&session, at(0)).unwrap();
        assert_eq!(sessions.resume(&cookie, at(899)), Some(session.clone()));
        assert_eq!(sessions.resume(&cookie, at(900)), None, "idle");
        let cookie = sessions.seal(&session, at(28_700)).unwrap();
        assert!(sessions.resume(&cookie, at(28_799)).is_some());
        assert_eq!(sessions.resume(&cookie, at(28_800)), None, "eight hours");
    }

    #[test]
    fn only_roles_of_people_open_a_session() {
        for (role, may) in [
            ("read", false),
            ("write", false),
            ("viewer", true),
            ("operator", true),
            ("admin", true),
        ] {
            let sessions = Sessions::new(keys("token", role), LIMITS);
            assert_eq!(sessions.open("token", at(0)).is_some(), may, "{role}");
            assert_eq!(sessions.open("other", at(0)), None);
        }
    }

    #[test]
    fn a_cookie_that_is_changed_or_of_another_key_or_process_is_refused() {
        let keys = keys("token", "admin");
        let sessions = Sessions::new(keys.clone(), LIMITS);
        let session = sessions.open("token", at(0)).unwrap();
        let sealed = sessions.seal(&session, at(0)).unwrap();
        assert_eq!(
            Sessions::new(keys.clone(), LIMITS).resume(&sealed, at(1)),
            None,
            "of another process"
        );
        for index in 0..sealed.len() {
            let other = if sealed.as_bytes()[index] == b'A' { "B" } else { "A" };
            let changed = format!("{}{other}{}", &sealed[..index], &sealed[index + 1..]);
            // The last character may hold bits that mean nothing.
            let is_same =
                URL_SAFE_NO_PAD.decode(&changed).ok() == URL_SAFE_NO_PAD.decode(&sealed).ok();
            assert!(is_same || sessions.resume(&changed, at(1)).is_none(), "changed at {index}");
            assert_eq!(sessions.resume(&sealed[..index], at(1)), None, "cut at {index}");
        }
        let replaced: AuthConfig = toml::from_str(&format!(
            "[[bearer]]\nname = 'ops'\nrole = 'admin'\nsha256 = '{}'",
            Digest::of(b"another token")
        ))
        .unwrap();
        keys.replace(replaced.open().unwrap());
        assert_eq!(sessions.resume(&sealed, at(1)), None, "of a replaced key");
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        for (header, expected) in [
            ("hoth_session=abc", Some("abc")),
            ("a=b; hoth_session=abc; c=d", Some("abc")),
            ("xhoth_session=abc", None),
            ("hoth_session", None),
            ("", None),
        ] {
            assert_eq!(cookie(header), expected, "{header}");
        }
    }
}
