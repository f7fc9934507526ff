//! A DNS resolver that drops addresses which are not allowed.

use std::io;
#[cfg(test)]
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::Addrs;
use reqwest::dns::Name;
use reqwest::dns::Resolve;
use reqwest::dns::Resolving;

use crate::policy::network;
use crate::policy::network::Network;

/// The resolver of the machine, filtered by [`network::admit`].
#[derive(Debug, Clone)]
pub struct Resolver {
    /// The private networks that the operator allows.
    allowed: Arc<[Network]>,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    System,
    /// Resolves every name to these addresses.
    #[cfg(test)]
    Fixed(Arc<[IpAddr]>),
}

impl Resolver {
    /// Makes a resolver over that of the machine. `allowed` are the private
    /// networks that the operator allows.
    pub fn system(allowed: &[Network]) -> Self {
        Self { allowed: allowed.into(), source: Source::System }
    }

    #[cfg(test)]
    pub fn fixed(allowed: &[Network], addresses: &[IpAddr]) -> Self {
        Self { allowed: allowed.into(), source: Source::Fixed(addresses.into()) }
    }
}

impl Source {
    async fn look_up(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        match self {
            // Port 0: the HTTP client fills in the port of the URL.
            Self::System => Ok(tokio::net::lookup_host((name, 0)).await?.collect()),
            #[cfg(test)]
            Self::Fixed(addresses) => {
                Ok(addresses.iter().map(|ip| SocketAddr::new(*ip, 0)).collect())
            }
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let Self { allowed, source } = self.clone();
        Box::pin(async move {
            let resolved = source.look_up(name.as_str()).await?;
            // Checked at each lookup: a name may resolve to a private address
            // later than at its first use (DNS rebinding).
            let admitted = network::admit(name.as_str(), resolved, &allowed)?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}
