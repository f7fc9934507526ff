//! The idle connections to the peers of one CSP.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;
use std::time::Duration;

use http::Uri;
use http::uri::Authority;
use http::uri::Scheme;
use tokio::time::Instant;

/// The time after which an idle connection is used no more. It is less than the
/// 5 s of the shortest common server default (Node.js): a request that meets a
/// server's close may or may not have been read.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// The time between two closings of connections that have been idle for
/// [`IDLE_MAX`].
const CLOSE_EVERY: Duration = Duration::from_secs(1);

/// The other end of a connection: the scheme, the host and the port of a URL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Peer {
    scheme: Scheme,
    authority: Authority,
}

impl Peer {
    /// Returns the peer of a request, or `None` for a relative URI.
    pub fn of(uri: &Uri) -> Option<Self> {
        Some(Self { scheme: uri.scheme()?.clone(), authority: uri.authority()?.clone() })
    }

    /// Returns the URI of the peer itself.
    pub fn uri(&self) -> Uri {
        let (scheme, authority) = (self.scheme.clone(), self.authority.clone());
        let built = Uri::builder().scheme(scheme).authority(authority).path_and_query("/").build();
        built.expect("the parts of a URI make one")
    }

    /// Returns the value of the `Host` header (RFC 9110 section 7.2).
    pub fn host(&self) -> &str {
        let authority = self.authority.as_str();
        authority.rsplit_once('@').map_or(authority, |(_user, host)| host)
    }
}

/// An idle connection: one that a single call uses at a time (HTTP/1.1), or one
/// that all share (HTTP/2).
#[derive(Debug)]
pub enum Idle<X, S> {
    Exclusive(X),
    Shared(S),
}

/// The idle connections of a client.
#[derive(Debug)]
pub struct Pool<X, S> {
    /// The bound on exclusive ones for each peer.
    idle_max: usize,
    state: Mutex<State<X, S>>,
}

#[derive(Debug)]
struct State<X, S> {
    /// Peers without a connection are removed.
    peers: HashMap<Peer, Connections<X, S>>,
    /// True while a task closes the connections that are not used again.
    is_tended: bool,
}

/// The connections to one peer, each with the time of its last use.
#[derive(Debug)]
struct Connections<X, S> {
    /// The last one was used last.
    exclusive: Vec<(X, Instant)>,
    shared: Option<(S, Instant)>,
}

impl<X: Send + 'static, S: Clone + Send + 'static> Pool<X, S> {
    /// Makes a pool of at most `idle_max` exclusive connections to each peer.
    pub fn new(idle_max: usize) -> Arc<Self> {
        let state = State { peers: HashMap::new(), is_tended: false };
        Arc::new(Self { idle_max, state: Mutex::new(state) })
    }

    /// Takes a connection, the one that was used last.
    pub fn take(&self, peer: &Peer) -> Option<Idle<X, S>> {
        let mut state = self.lock();
        let connections = state.peers.get_mut(peer)?;
        connections.drop_expired();
        if let Some((shared, used_at)) = &mut connections.shared {
            *used_at = Instant::now();
            return Some(Idle::Shared(shared.clone()));
        }
        connections.exclusive.pop().map(|(connection, _)| Idle::Exclusive(connection))
    }

    /// Keeps a connection that is idle now, or drops it if there are too many.
    pub fn put(self: &Arc<Self>, peer: Peer, connection: X) {
        let mut state = self.lock();
        let exclusive = &mut state.peers.entry(peer).or_default().exclusive;
        if exclusive.len() < self.idle_max {
            exclusive.push((connection, Instant::now()));
            self.tend(&mut state);
        }
    }

    /// Keeps a connection that all calls may use.
    pub fn share(self: &Arc<Self>, peer: Peer, connection: S) {
        let mut state = self.lock();
        state.peers.entry(peer).or_default().shared = Some((connection, Instant::now()));
        self.tend(&mut state);
    }

    /// Drops the shared connection to a peer that has closed it.
    pub fn forget_shared(&self, peer: &Peer) {
        if let Some(connections) = self.lock().peers.get_mut(peer) {
            connections.shared = None;
        }
    }

    /// Starts the task that closes connections, unless it runs. It ends when
    /// there are none, or when the pool is dropped.
    fn tend(self: &Arc<Self>, state: &mut State<X, S>) {
        if !std::mem::replace(&mut state.is_tended, true) {
            tokio::spawn(close_expired(Arc::downgrade(self)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<X, S>> {
        // A panic leaves whole entries behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<X, S> Default for Connections<X, S> {
    fn default() -> Self {
        Self { exclusive: Vec::new(), shared: None }
    }
}

impl<X, S> Connections<X, S> {
    fn drop_expired(&mut self) {
        let is_expired = |used_at: &Instant| used_at.elapsed() >= IDLE_MAX;
        // They are in the order of their use.
        let expired = self.exclusive.partition_point(|(_, used_at)| is_expired(used_at));
        self.exclusive.drain(..expired);
        self.shared.take_if(|(_, used_at)| is_expired(used_at));
    }

    fn is_empty(&self) -> bool {
        self.exclusive.is_empty() && self.shared.is_none()
    }
}

async fn close_expired<X: Send + 'static, S: Clone + Send + 'static>(pool: Weak<Pool<X, S>>) {
    loop {
        tokio::time::sleep(CLOSE_EVERY).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut state = pool.lock();
        state.peers.retain(|_, connections| {
            connections.drop_expired();
            !connections.is_empty()
        });
        if state.peers.is_empty() {
            state.is_tended = false;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uri: &str) -> Peer {
        Peer::of(&uri.parse().unwrap()).unwrap()
    }

    fn take(pool: &Pool<u8, &'static str>, peer: &Peer) -> Option<u8> {
        match pool.take(peer) {
            Some(Idle::Exclusive(connection)) => Some(connection),
            Some(Idle::Shared(shared)) => panic!("{shared} is not exclusive"),
            None => None,
        }
    }

    #[tokio::test]
    async fn the_connection_that_was_used_last_is_taken_first() {
        let (pool, peer) = (Pool::new(2), peer("http://a/x"));
        for connection in [1, 2, 3] {
            pool.put(peer.clone(), connection);
        }
        let taken: Vec<_> = (0..3).map(|_| take(&pool, &peer)).collect();
        assert_eq!(taken, [Some(2), Some(1), None], "the third one is beyond the bound");
    }

    #[tokio::test]
    async fn each_peer_has_its_own_connections() {
        let pool = Pool::new(2);
        pool.put(peer("http://a/x"), 1);
        for other in ["https://a/x", "http://b/x", "http://a:81/x"] {
            assert_eq!(take(&pool, &peer(other)), None, "{other}");
        }
        assert_eq!(take(&pool, &peer("http://A/y?z")), Some(1), "a host has no case");
    }

    #[tokio::test]
    async fn a_shared_connection_stays_until_it_is_forgotten() {
        let (pool, peer) = (Pool::<u8, _>::new(2), peer("https://a/x"));
        pool.share(peer.clone(), "shared");
        for _call in 0..2 {
            assert!(matches!(pool.take(&peer), Some(Idle::Shared("shared"))));
        }
        pool.forget_shared(&peer);
        assert!(pool.take(&peer).is_none());
    }

    #[test]
    fn a_host_is_without_user_and_with_its_port() {
        for (uri, host) in
            [("http://a/x", "a"), ("http://u:p@a:81/x", "a:81"), ("http://[::1]:2/", "[::1]:2")]
        {
            assert_eq!(peer(uri).host(), host);
        }
    }
}
