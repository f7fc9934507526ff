//! A Cloud Service Provider on loopback, for tests, benchmarks and the demo.
//!
//! [`server`] speaks HTTP over sockets that it controls to the last byte: it
//! follows scripts, makes faults and keeps records, and knows no API. A
//! [`Behaviour`] answers the calls that no script answers: [`identity`] is a
//! token endpoint, [`atat`] the ATAT API with its rules, [`stratus`] an API of
//! an entirely different kind. A further API is a module beside these.

pub mod atat;
#[cfg(test)]
mod client;
pub mod identity;
mod path;
mod rules;
pub mod server;
mod shape;
pub mod stratus;

pub use crate::atat::MockCsp;
pub use crate::atat::Mode;
pub use crate::atat::Options;
pub use crate::atat::Version;
pub use crate::server::Answer;
pub use crate::server::Behaviour;
pub use crate::server::Call;
pub use crate::server::Gate;
pub use crate::server::Matching;
pub use crate::server::Refused;
pub use crate::server::Reply;
pub use crate::server::Server;
pub use crate::server::Then;
pub use crate::stratus::Stratus;
