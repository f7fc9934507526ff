//! Reasons for a failed authentication.

/// The reason for a failed authentication.
///
/// The reason goes to the log only. The caller learns nothing, so that a
/// response does not help to guess credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("the Authorization header is missing")]
    Missing,
    #[error("the Authorization header is given more than once")]
    Repeated,
    #[error("the Authorization header is neither a bearer token nor an AWS signature")]
    Scheme,
    #[error("no key has this bearer token")]
    UnknownToken,
    #[error("the AWS signature is malformed: {0}")]
    Malformed(&'static str),
    #[error("no key has this AWS access key id")]
    UnknownAccessKey,
    #[error("the AWS signature is for a different {0}")]
    Scope(&'static str),
    #[error("the AWS signature is dated {0} s from this host's time")]
    Skewed(u64),
    #[error("the AWS signature does not cover the header `{0}`")]
    Uncovered(&'static str),
    #[error("the AWS signature covers the header `{0:.40}`, which is missing")]
    HeaderMissing(String),
    #[error("the AWS signature does not match this request")]
    Signature,
    #[error("the body does not match the signed digest")]
    Payload,
}
