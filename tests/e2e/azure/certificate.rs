//! An application that proves its identity by a certificate.

use hoth_testkit::MockAzure;
use serde_json::json;

use crate::harness::Setup;

/// The id of the application.
pub const CLIENT: &str = "certified";

/// The certificate and its key as the inside of a table `client_certificate`.
pub const SOURCES: &str = "certificate = { env = \"CERTIFICATE\" }, key = { env = \"KEY\" }";

const CERTIFICATE: &str = include_str!("../../../host/egress/src/tests/vectors/certificate.pem");
const KEY: &str = include_str!("../../../host/egress/src/tests/vectors/key.pkcs8.pem");

/// Registers the application.
pub async fn register(azure: &MockAzure) {
    let application = json!({"client_id": CLIENT, "certificates": [CERTIFICATE]});
    azure.application(&application).await.expect("an application");
}

/// Sets the variables that [`SOURCES`] names.
pub fn provide(setup: Setup) -> Setup {
    setup.environment("CERTIFICATE", CERTIFICATE).environment("KEY", KEY)
}
