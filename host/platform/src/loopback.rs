//! Recognition of this machine in URLs and host names.

use url::Host;
use url::Url;

/// Returns true if the host of `url` is this machine by name or by address:
/// `localhost` and names below it (RFC 6761 section 6.3), 127.0.0.0/8, `::1`.
pub fn points_at_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_loopback_name(name),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Returns true if `host`, from a `Host` header without its port, is this
/// machine by name or by address, as in [`points_at_loopback`].
pub fn is_loopback_host(host: &str) -> bool {
    match Host::parse(host) {
        Ok(Host::Domain(name)) => is_loopback_name(&name),
        Ok(Host::Ipv4(address)) => address.is_loopback(),
        Ok(Host::Ipv6(address)) => address.is_loopback(),
        Err(_) => false,
    }
}

/// Returns true if `name`, in lower case, stands for this machine.
pub fn is_loopback_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}
