//! A DNS resolver that drops addresses which are not allowed.

use std::io;
#[cfg(test)]
use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::ToSocketAddrs as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use hyper_util::client::legacy::connect::dns::Name;
use tower::Service;

use crate::policy::lookups::Lookups;
use crate::policy::network;
use crate::policy::network::Network;
use crate::policy::network::PrivateAddress;

/// The resolver of the machine, filtered by [`network::admit`].
#[derive(Debug, Clone)]
pub struct Resolver {
    /// The private networks that the operator allows.
    allowed: Arc<[Network]>,
    lookups: Lookups,
}

impl Resolver {
    /// Makes a resolver over that of the machine. `allowed` are the private
    /// networks that the operator allows.
    pub fn system(allowed: &[Network]) -> Self {
        // Port 0: the HTTP client fills in the port of the URL.
        let lookups = Lookups::new(|name| Ok((name, 0).to_socket_addrs()?.collect()));
        Self { allowed: allowed.into(), lookups }
    }

    /// Makes a resolver that resolves every name to these addresses.
    #[cfg(test)]
    pub fn fixed(allowed: &[Network], addresses: &[IpAddr]) -> Self {
        let addresses: Vec<_> = addresses.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
        let lookups = Lookups::new(move |_| Ok(addresses.clone()));
        Self { allowed: allowed.into(), lookups }
    }
}

/// The error of a name without a usable address.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error("the name cannot be resolved")]
    Unresolved(#[source] io::Error),
    #[error("the name has no address that is allowed")]
    Private(#[source] PrivateAddress),
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = ResolveError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ResolveError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ResolveError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { allowed, lookups } = self.clone();
        Box::pin(async move {
            let name = name.as_str();
            let resolved = lookups.addresses(name).await.map_err(ResolveError::Unresolved)?;
            // Checked at each lookup: a name may resolve to a private address
            // later than at its first use (DNS rebinding).
            let admitted = network::admit(name, resolved.iter().copied(), &allowed);
            Ok(admitted.map_err(ResolveError::Private)?.into_iter())
        })
    }
}
