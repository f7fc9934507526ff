//! The parts of a request that decide on its credential.

use crate::auth::parameters::Parameters;
use crate::auth::scopes::Scopes;
use crate::policy::aws_scope::AwsScope;

/// The demands of one request on its credential.
#[derive(Debug, Clone, Default)]
pub struct Demand<'a> {
    /// The scopes of an access token.
    pub scopes: Scopes,
    pub parameters: Parameters,
    /// The service and the region that the endpoint signs for, if its
    /// configuration has them.
    pub signing: Option<&'a AwsScope>,
}
