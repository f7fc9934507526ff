//! Authentication: the configured keys, and the verification of requests.

mod config;
mod denied;
mod key_set;
mod keys;
mod principal;
mod sigv4;

pub use config::AuthConfig;
pub use config::BearerKey;
pub use config::KeyError;
pub use denied::Denied;
pub use key_set::KeySet;
pub use keys::AuthDecision;
pub use keys::Keys;
pub use principal::Access;
pub use principal::Principal;
pub use principal::Role;
pub use sigv4::PendingSignature;
