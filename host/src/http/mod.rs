//! The HTTP layer that both APIs share: connections, authentication, limits
//! and the audit trail.

pub(crate) mod audit;
pub mod auth;
mod authorize;
pub(crate) mod body;
mod error;
mod framing;
mod health;
mod limits;
pub mod listener;
mod loopback_only;
mod measure;
mod rate;
mod shutdown;
mod unproven;

pub(crate) use authorize::Authenticator;
pub(crate) use authorize::RequiredAccess;
pub(crate) use authorize::activate;
pub(crate) use authorize::authorize;
pub(crate) use error::FrontError;
pub(crate) use error::Reason;
pub(crate) use error::problem;
pub(crate) use framing::check_framing;
pub use health::HEALTH_PATHS;
pub use health::Health;
pub use limits::Limits;
pub(crate) use loopback_only::check as check_loopback;
pub(crate) use measure::RequestTimer;
pub(crate) use rate::Rate;
pub(crate) use rate::RateLimiter;
pub use shutdown::Shutdown;
