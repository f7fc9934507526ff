//! Who may call: keys, and how a request proves that its sender holds one.

mod config;
mod key_set;
mod sigv4;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::header;
use http::request::Parts;
use serde::Deserialize;

use hoth_core::domain::Timestamp;

pub use config::AuthConfig;
pub use config::BearerKey;
pub use key_set::KeyError;
pub use key_set::KeySet;
pub use sigv4::Unproven;

/// What a key allows; each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Collect outcomes; acknowledge and release leases.
    Read,
    /// Everything on the API.
    Write,
    /// The admin API too.
    Admin,
}

/// Who called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The key's name; none where everybody is let in.
    pub key: Option<Arc<str>>,
    /// What the caller may do.
    pub role: Role,
}

impl Principal {
    /// Who calls a host without keys.
    pub fn anyone() -> Self {
        Self { key: None, role: Role::Admin }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key.as_deref().unwrap_or("anyone"))
    }
}

/// Why a caller is not known. For the log: the caller is told nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("there is no Authorization header")]
    Missing,
    #[error("there are several Authorization headers")]
    Twice,
    #[error("the Authorization header is neither a bearer token nor an AWS signature")]
    Scheme,
    #[error("no key has this bearer token")]
    UnknownToken,
    #[error("the AWS signature is malformed: {0}")]
    Malformed(&'static str),
    #[error("no key has this AWS access key id")]
    UnknownAccessKey,
    #[error("the AWS signature is for another {0}")]
    Scope(&'static str),
    #[error("the AWS signature was made {0} s before or after this host's time")]
    Skewed(u64),
    #[error("the AWS signature does not cover the header `{0}`")]
    Uncovered(&'static str),
    #[error("the AWS signature covers a header `{0:.40}` that did not arrive")]
    HeaderMissing(String),
    #[error("the AWS signature is not that of this request")]
    Signature,
    #[error("the body is not the one whose digest was signed")]
    Payload,
}

/// What a request's head proves.
pub enum Judgement {
    /// The caller holds a key.
    Known(Principal),
    /// The caller says so, and the body has to bear it out.
    Unproven(Unproven),
}

/// The keys that count now; cheap to clone, and all clones change together.
#[derive(Clone)]
pub struct Keys(Arc<ArcSwap<KeySet>>);

impl Keys {
    /// Begins with `set`.
    pub fn new(set: KeySet) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(set)))
    }

    /// Lets `set` count from the next request on.
    pub fn replace(&self, set: KeySet) {
        self.0.store(Arc::new(set));
    }

    /// Whether there is no key, so that everybody is let in.
    pub fn is_open(&self) -> bool {
        self.0.load().is_open()
    }

    /// Judges a request by its head. `now` is the wall clock's time.
    ///
    /// # Errors
    ///
    /// For a missing or unknown key, and a signature that cannot be right
    /// whatever the body is.
    pub fn judge(&self, head: &Parts, now: Timestamp) -> Result<Judgement, Denied> {
        let set = self.0.load();
        if set.is_open() {
            return Ok(Judgement::Known(Principal::anyone()));
        }
        let (scheme, credentials) = authorization(&head.headers)?;
        // A scheme's name has no case (RFC 9110 section 11.1).
        if scheme.eq_ignore_ascii_case("bearer") {
            return set.bearer(credentials).map(Judgement::Known);
        }
        if scheme.eq_ignore_ascii_case(sigv4::ALGORITHM) {
            let claim = sigv4::Claim::parse(credentials)?;
            let key = set.signer(claim.access_key_id).ok_or(Denied::UnknownAccessKey)?;
            return claim.judge(key, head, now, sigv4::SERVICE);
        }
        Err(Denied::Scheme)
    }
}

fn authorization(headers: &HeaderMap) -> Result<(&str, &str), Denied> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let value = given.next().ok_or(Denied::Missing)?;
    if given.next().is_some() {
        return Err(Denied::Twice);
    }
    let value = value.to_str().map_err(|_| Denied::Scheme)?;
    let (scheme, credentials) = value.split_once(' ').ok_or(Denied::Scheme)?;
    Ok((scheme, credentials.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"
        [[bearer]]
        name = "reader"
        role = "read"
        sha256 = "aacb0b575020df5ae74a4b28174ad2e998236b1218c3e39f7de44025ccde7502"
        [[bearer]]
        name = "operator"
        role = "admin"
        sha256 = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
    "#;

    fn judge(config: &str, authorization: &[&str]) -> Result<String, Denied> {
        let config: AuthConfig = toml::from_str(config).unwrap();
        let keys = Keys::new(KeySet::open(&config).unwrap());
        let mut request = http::Request::get("/provisioning-jobs");
        for value in authorization {
            request = request.header(header::AUTHORIZATION, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        match keys.judge(&head, Timestamp::from_millis(0))? {
            Judgement::Known(principal) => Ok(format!("{principal} {:?}", principal.role)),
            Judgement::Unproven(_) => Ok("unproven".to_owned()),
        }
    }

    #[test]
    fn a_bearer_token_names_its_key() {
        for (authorization, expected) in [
            (&["Bearer read-me"][..], Ok("reader Read".to_owned())),
            (&["Bearer password"], Ok("operator Admin".to_owned())),
            (&["bEARER  password "], Ok("operator Admin".to_owned())),
            (&["Bearer Password"], Err(Denied::UnknownToken)),
            (&["Bearer passwor"], Err(Denied::UnknownToken)),
            (&["Bearer "], Err(Denied::UnknownToken)),
            (&["Bearer"], Err(Denied::Scheme)),
            (&["Basic dXNlcjpwYXNz"], Err(Denied::Scheme)),
            (&[], Err(Denied::Missing)),
            (&["Bearer password", "Bearer password"], Err(Denied::Twice)),
        ] {
            assert_eq!(judge(CONFIG, authorization), expected, "{authorization:?}");
        }
    }

    #[test]
    fn without_keys_everybody_is_let_in() {
        assert_eq!(judge("", &[]), Ok("anyone Admin".to_owned()));
        assert_eq!(judge("", &["Bearer whatever"]), Ok("anyone Admin".to_owned()));
    }

    #[test]
    fn keys_are_replaced_under_all_clones() {
        let keys = Keys::new(KeySet::default());
        let clone = keys.clone();
        assert!(clone.is_open());
        let config: AuthConfig = toml::from_str(CONFIG).unwrap();
        keys.replace(KeySet::open(&config).unwrap());
        assert!(!clone.is_open());
    }

    #[test]
    fn a_role_includes_those_before_it() {
        assert!(Role::Read < Role::Write && Role::Write < Role::Admin);
    }
}
