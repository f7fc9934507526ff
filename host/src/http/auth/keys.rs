//! The current keys, and the authentication of a request by its head.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::header;
use http::request::Parts;

use super::denied::Denied;
use super::key_set::KeySet;
use super::principal::Principal;
use super::sigv4;
use super::sigv4::PendingSignature;
use hoth_core::domain::Digest;
use hoth_core::domain::Timestamp;

/// The result of authenticating a request by its head alone.
pub enum AuthDecision {
    /// The head proves the caller's identity.
    Authenticated(Principal),
    /// The head is plausible; the signature must be verified with the body.
    NeedsBody(PendingSignature),
}

/// The current keys. A clone is cheap, and all clones change together.
#[derive(Clone)]
pub struct Keys(Arc<ArcSwap<KeySet>>);

impl Keys {
    /// Creates a holder that starts with `set`.
    pub fn new(set: KeySet) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(set)))
    }

    /// Uses `set` from the next request on.
    pub fn replace(&self, set: KeySet) {
        self.0.store(Arc::new(set));
    }

    /// Returns `true` if there is no key, so that every caller is accepted.
    pub fn is_open(&self) -> bool {
        self.0.load().is_open()
    }

    /// Returns the holder of a bearer token.
    ///
    /// # Errors
    ///
    /// Returns the reason if no key has this token.
    pub fn bearer(&self, token: &str) -> Result<Principal, Denied> {
        self.0.load().bearer(token)
    }

    /// Returns the holder and the digest of the bearer key with this name.
    pub fn bearer_named(&self, name: &str) -> Option<(Principal, Digest)> {
        self.0.load().bearer_named(name)
    }

    /// Authenticates a request by its head. `now` is the wall clock's time.
    ///
    /// # Errors
    ///
    /// Returns the reason if the key is missing or unknown, or if the signature
    /// is wrong for every possible body.
    pub fn authenticate(&self, head: &Parts, now: Timestamp) -> Result<AuthDecision, Denied> {
        // Loaded once: a reload while this request is checked must not mix the
        // keys of two configurations.
        let set = self.0.load();
        if set.is_open() {
            return Ok(AuthDecision::Authenticated(Principal::anyone()));
        }
        let (scheme, credentials) = authorization(&head.headers)?;
        // Scheme names are case-insensitive (RFC 9110 section 11.1).
        if scheme.eq_ignore_ascii_case("bearer") {
            return set.bearer(credentials).map(AuthDecision::Authenticated);
        }
        if scheme.eq_ignore_ascii_case(sigv4::ALGORITHM) {
            // The key comes before the signature: without its secret there is
            // nothing to verify. The caller gets the same 401 for both errors.
            let claim = sigv4::Claim::parse(credentials)?;
            let key = set.signer(claim.access_key_id).ok_or(Denied::UnknownAccessKey)?;
            let pending = claim.verify_head(key, head, now, sigv4::SERVICE)?;
            return Ok(AuthDecision::NeedsBody(pending));
        }
        Err(Denied::Scheme)
    }
}

/// Splits the only Authorization header into scheme and credentials.
fn authorization(headers: &HeaderMap) -> Result<(&str, &str), Denied> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let value = given.next().ok_or(Denied::Missing)?;
    // The field takes one value (RFC 9110 section 11.6.2). With two of them, a
    // proxy in front of HOTH could have checked the other one.
    if given.next().is_some() {
        return Err(Denied::Repeated);
    }
    let value = value.to_str().map_err(|_| Denied::Scheme)?;
    let (scheme, credentials) = value.split_once(' ').ok_or(Denied::Scheme)?;
    Ok((scheme, credentials.trim()))
}

#[cfg(test)]
mod tests {
    use super::super::config::AuthConfig;
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

    fn authenticate(config: &str, authorization: &[&str]) -> Result<String, Denied> {
        let config: AuthConfig = toml::from_str(config).unwrap();
        let keys = Keys::new(config.open().unwrap());
        let mut request = http::Request::get("/provisioning-jobs");
        for value in authorization {
            request = request.header(header::AUTHORIZATION, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        match keys.authenticate(&head, Timestamp::from_millis(0))? {
            AuthDecision::Authenticated(principal) => {
                Ok(format!("{principal} {:?}", principal.role))
            }
            AuthDecision::NeedsBody(_) => Ok("needs the body".to_owned()),
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
            (&["Bearer password", "Bearer password"], Err(Denied::Repeated)),
        ] {
            assert_eq!(authenticate(CONFIG, authorization), expected, "{authorization:?}");
        }
    }

    #[test]
    fn every_caller_is_authenticated_on_a_host_without_keys() {
        assert_eq!(authenticate("", &[]), Ok("anyone Admin".to_owned()));
        assert_eq!(authenticate("", &["Bearer whatever"]), Ok("anyone Admin".to_owned()));
    }

    #[test]
    fn keys_are_replaced_under_all_clones() {
        let keys = Keys::new(KeySet::default());
        let clone = keys.clone();
        assert!(clone.is_open());
        let config: AuthConfig = toml::from_str(CONFIG).unwrap();
        keys.replace(config.open().unwrap());
        assert!(!clone.is_open());
    }
}
