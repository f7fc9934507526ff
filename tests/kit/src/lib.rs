//! Configures, starts, kills and inspects hosts, for tests and tools.
//!
//! The host is the real program in a process of its own; the kit takes its path
//! and never links it. [`HostConfig`] writes `hoth.toml` and the adapters to a
//! directory, [`HostCommand`] starts hosts there, one after the other or side
//! by side, and [`HostProcess`] is one of them. Readiness comes from the
//! structured log event `listening`, never from the text of a message.
//! [`MockAws`] and [`MockAzure`] are local clouds for them, and [`OtlpReceiver`]
//! receives their traces. [`variant_of`] makes versions of an adapter.

mod aws_csp;
mod azure_csp;
mod config;
mod log;
pub mod memory;
mod mock_aws;
mod mock_azure;
mod mock_cloud;
mod otlp;
mod process;
mod queues;
mod variant;

use std::time::Duration;

pub use aws_csp::AwsPartition;
pub use config::HostConfig;
pub use config::OauthCsp;
pub use log::HostLog;
pub use log::LogFollower;
pub use mock_aws::AccessKey;
pub use mock_aws::MockAws;
pub use mock_azure::MockAzure;
pub use mock_cloud::MockCloud;
pub use otlp::OtlpReceiver;
pub use otlp::ReceivedSpan;
pub use otlp::SpanKind;
pub use process::Addresses;
pub use process::Endpoint;
pub use process::HostCommand;
pub use process::HostProcess;
pub use queues::QueueCounts;
pub use variant::variant_of;

/// The longest wait for anything that ends by itself, such as a start or a
/// stop. Far more than it needs: two busy cores must not fail a test.
pub const PATIENCE: Duration = Duration::from_secs(180);
