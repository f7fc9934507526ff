//! Accepts connections, serves HTTP/1.1 on them, and reports when the kernel
//! has taken a whole response.

mod accept;
mod connection;
mod flush;
mod slot;
#[cfg(test)]
mod tests;
mod timeouts;
mod tls;
mod tracked_io;

pub use accept::Listener;
pub use connection::PeerAddr;
pub use flush::FlushNotice;
pub use flush::Progress;
pub use slot::Activation;
pub use slot::Evicted;
pub use timeouts::Timeouts;
pub use tls::OpenedTls;
pub use tls::ReloadableTls;
pub use tls::TlsConfig;
pub use tls::TlsError;
