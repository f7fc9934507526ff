//! A DNS resolver that drops addresses which are not allowed.

#[cfg(test)]
use std::net::IpAddr;
#[cfg(test)]
use std::net::SocketAddr;
use std::net::ToSocketAddrs as _;
use std::sync::Arc;

use reqwest::dns::Addrs;
use reqwest::dns::Name;
use reqwest::dns::Resolve;
use reqwest::dns::Resolving;

use crate::policy::lookups::Lookups;
use crate::policy::network;
use crate::policy::network::Network;

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

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { allowed, lookups } = self.clone();
        Box::pin(async move {
            let resolved = lookups.addresses(name.as_str()).await?;
            // Checked at each lookup: a name may resolve to a private address
            // later than at its first use (DNS rebinding).
            let admitted = network::admit(name.as_str(), resolved.iter().copied(), &allowed)?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}
