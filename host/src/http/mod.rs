//! The HTTP layer that both APIs share: connections, authentication, limits
//! and the audit trail.

pub mod audit;
pub mod auth;
pub mod listener;
mod rate;

pub use rate::Limiter;
pub use rate::Rate;
