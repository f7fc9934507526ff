//! Resolves names, and keeps back addresses that nobody named.

use std::io;
#[cfg(test)]
use std::net::IpAddr;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::Addrs;
use reqwest::dns::Name;
use reqwest::dns::Resolve;
use reqwest::dns::Resolving;

use crate::network;
use crate::network::Network;

/// The machine's resolver behind the rules of [`network::admit`].
#[derive(Debug, Clone)]
pub struct Resolver {
    named: Arc<[Network]>,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    System,
    /// Gives every name these addresses.
    #[cfg(test)]
    Fixed(Arc<[IpAddr]>),
}

impl Resolver {
    /// The machine's resolver; `named` are the networks that the operator
    /// allows besides the public ones.
    pub fn system(named: &[Network]) -> Self {
        Self { named: named.into(), source: Source::System }
    }

    #[cfg(test)]
    pub fn fixed(named: &[Network], addresses: &[IpAddr]) -> Self {
        Self { named: named.into(), source: Source::Fixed(addresses.into()) }
    }
}

impl Source {
    async fn look_up(&self, name: &str) -> io::Result<Vec<SocketAddr>> {
        match self {
            // The port is filled in by the client.
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
        let Self { named, source } = self.clone();
        Box::pin(async move {
            let resolved = source.look_up(name.as_str()).await?;
            let admitted = network::admit(name.as_str(), resolved, &named)?;
            Ok(Box::new(admitted.into_iter()) as Addrs)
        })
    }
}
