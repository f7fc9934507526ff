//! An address that refuses connections.

use std::io;
use std::ops::Deref;

use tokio::net::TcpSocket;

/// The origin of a port that refuses connections, usable as a `&str`.
///
/// The port is bound, so that no other process gets it while this lives, but
/// nothing listens there.
#[derive(Debug)]
pub struct Refused {
    origin: String,
    _socket: TcpSocket,
}

impl Refused {
    /// Binds a free port of loopback.
    ///
    /// # Errors
    ///
    /// Returns an error if no port is free.
    pub fn bind() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(([127, 0, 0, 1], 0).into())?;
        Ok(Self { origin: super::origin(socket.local_addr()?), _socket: socket })
    }
}

impl Deref for Refused {
    type Target = str;

    fn deref(&self) -> &str {
        &self.origin
    }
}
