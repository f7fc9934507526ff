//! Access tokens by the client credentials grant, fetched once for everyone.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::future::Shared;
use futures_util::future::WeakShared;
use http::header;
use tokio::time::Instant;

use crate::credential::Pass;
use crate::credential_config::OAuth2Config;
use crate::failure::CallFailure;
use crate::http_client::HttpClient;
use crate::token_endpoint::Granted;
use crate::token_endpoint::TokenEndpoint;
use hoth_core::domain::CspName;

/// A token is not used in the last seconds of its life: the CSP's clock may be
/// ahead, and the request has to get there.
const EXPIRY_MARGIN: Duration = Duration::from_secs(30);

/// How long a token is taken to live when its issuer does not say.
const LIFETIME_DEFAULT: Duration = Duration::from_secs(60);

/// Nobody is trusted to forget a token later than this.
const LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Adapters choose scopes, and an adapter might choose new ones for each job.
const SCOPE_SETS_MAX: usize = 256;

/// A set of scopes; their order and repetition mean nothing.
pub type Scopes = BTreeSet<String>;

/// A token, and how long it is good.
#[derive(Debug, Clone)]
struct Token {
    pass: Pass,
    usable_until: Instant,
}

/// The tokens of one CSP. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tokens(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoint: TokenEndpoint,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    slots: HashMap<Scopes, Slot>,
    /// Fetches that have ended.
    fetches: u64,
}

/// What there is for one set of scopes.
#[derive(Default)]
struct Slot {
    token: Option<Token>,
    /// The fetch under way. It belongs to those who wait for it: when all of
    /// them have gone it ends, and the next caller starts another.
    fetch: Option<WeakShared<Fetch>>,
}

type Fetch = BoxFuture<'static, Result<Token, CallFailure>>;

impl Tokens {
    pub fn new(
        csp: &CspName,
        config: &OAuth2Config,
        http: HttpClient,
        timeout: Duration,
        proxied: bool,
    ) -> Self {
        let endpoint = TokenEndpoint::new(csp, config, http, timeout, proxied);
        Self(Arc::new(Inner { endpoint, cache: Mutex::default() }))
    }

    /// A token that is good for some time yet: the cached one, else a new one.
    /// Everyone who asks while it is fetched waits for that one fetch, and
    /// shares its failure; the next to ask after a failure tries again.
    pub async fn get(&self, scopes: &Scopes) -> Result<Pass, CallFailure> {
        let token = match self.find(scopes) {
            Found::Token(token) => token,
            Found::Fetch(fetch) => fetch.await?,
        };
        Ok(token.pass)
    }

    /// Forgets a token that the CSP did not take, unless another has taken its
    /// place already.
    pub fn discard(&self, scopes: &Scopes, refused: &Pass) {
        if let Some(slot) = self.0.lock().slots.get_mut(scopes) {
            slot.token.take_if(|token| token.pass.number == refused.number);
        }
    }

    fn find(&self, scopes: &Scopes) -> Found {
        let mut cache = self.0.lock();
        cache.make_room(scopes);
        let slot = cache.slots.entry(scopes.clone()).or_default();
        if let Some(token) = slot.usable() {
            return Found::Token(token.clone());
        }
        if let Some(fetch) = slot.fetch.as_ref().and_then(WeakShared::upgrade) {
            return Found::Fetch(fetch);
        }
        let fetch = fetch(Arc::clone(&self.0), scopes.clone()).boxed().shared();
        slot.fetch = fetch.downgrade();
        Found::Fetch(fetch)
    }
}

enum Found {
    Token(Token),
    Fetch(Shared<Fetch>),
}

async fn fetch(inner: Arc<Inner>, scopes: Scopes) -> Result<Token, CallFailure> {
    let asked_at = Instant::now();
    let granted = inner.endpoint.request(&scopes).await;
    let mut cache = inner.lock();
    cache.fetches += 1;
    let number = cache.fetches;
    let slot = cache.slots.entry(scopes).or_default();
    slot.fetch = None;
    let Granted { header, expires_in } = granted?;
    let pass = Pass { header: header::AUTHORIZATION, value: header, within: None, number };
    let token = Token { pass, usable_until: asked_at + usable_for(expires_in) };
    slot.token = Some(token.clone());
    Ok(token)
}

/// How long a token is used. One that lives shortly is used for half its life,
/// so that there is something to cache at all.
fn usable_for(expires_in: Option<Duration>) -> Duration {
    let lifetime = expires_in.unwrap_or(LIFETIME_DEFAULT).min(LIFETIME_MAX);
    lifetime - EXPIRY_MARGIN.min(lifetime / 2)
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Cache> {
        // Nothing is half done when the lock is left, not even by a panic.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cache {
    /// Keeps the cache within its bound before a new set comes in: what has
    /// expired goes first, and if that is not enough, all that nobody waits
    /// for.
    fn make_room(&mut self, scopes: &Scopes) {
        if self.slots.len() < SCOPE_SETS_MAX || self.slots.contains_key(scopes) {
            return;
        }
        self.slots.retain(|_, slot| slot.is_awaited() || slot.usable().is_some());
        if self.slots.len() >= SCOPE_SETS_MAX {
            self.slots.retain(|_, slot| slot.is_awaited());
        }
    }
}

impl Slot {
    fn usable(&self) -> Option<&Token> {
        self.token.as_ref().filter(|token| Instant::now() < token.usable_until)
    }

    fn is_awaited(&self) -> bool {
        self.fetch.as_ref().and_then(WeakShared::upgrade).is_some()
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_token_is_used_until_shortly_before_it_expires() {
        for (expires_in, used) in [
            (None, 30),
            (Some(0), 0),
            (Some(20), 10),
            (Some(60), 30),
            (Some(61), 31),
            (Some(3600), 3570),
            (Some(86_400), 86_370),
            (Some(u64::MAX), 86_370),
        ] {
            let usable = usable_for(expires_in.map(Duration::from_secs));
            assert_eq!(usable, Duration::from_secs(used), "{expires_in:?}");
        }
    }

    #[test]
    fn the_cache_has_a_bound() {
        let scopes = |number: usize| Scopes::from([number.to_string()]);
        let pass = Pass {
            header: header::AUTHORIZATION,
            value: HeaderValue::from_static("t"),
            within: None,
            number: 0,
        };
        let slot = |usable_until| Slot {
            token: Some(Token { pass: pass.clone(), usable_until }),
            fetch: None,
        };
        let now = Instant::now();
        let later = now + Duration::from_secs(3600);
        let mut cache = Cache::default();
        for number in 0..SCOPE_SETS_MAX {
            cache.slots.insert(scopes(number), slot(if number == 0 { later } else { now }));
        }
        cache.make_room(&scopes(0));
        assert_eq!(cache.slots.len(), SCOPE_SETS_MAX, "a set that is there needs no room");
        cache.make_room(&scopes(SCOPE_SETS_MAX));
        assert_eq!(cache.slots.len(), 1, "what has expired goes");
        for number in 0..SCOPE_SETS_MAX {
            cache.slots.insert(scopes(number), slot(later));
        }
        cache.make_room(&scopes(SCOPE_SETS_MAX));
        assert_eq!(cache.slots.len(), 0, "else everything goes");
    }
}
