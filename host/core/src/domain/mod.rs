//! The values that every crate shares: jobs, steps, outcomes and messages.
//!
//! No I/O, no async, no framework, no clock.

mod csp;
mod digest;
mod http;
mod id;
mod job;
mod json;
mod message;
mod operation;
mod printable;
mod queued;
pub mod request;
mod step;
mod supported;
mod timestamp;
mod transport;

pub use csp::BadCspName;
pub use csp::CspName;
pub use digest::Digest;
pub use http::HttpRequest;
pub use http::HttpResponse;
pub use http::Method;
pub use http::Target;
pub use id::BadJobId;
pub use id::EmptyPortfolioId;
pub use id::JobId;
pub use id::PortfolioId;
pub use job::Job;
pub use message::MESSAGE_BYTES_MAX;
pub use message::OutcomeMessage;
pub use operation::JobKind;
pub use operation::Operation;
pub use printable::printable;
pub use queued::QueuedJob;
pub use queued::QueuedOutcome;
pub use queued::Resumption;
pub use queued::Unreadable;
pub use step::AdapterState;
pub use step::Event;
pub use step::Failure;
pub use step::FailureClass;
pub use step::Outcome;
pub use step::Progress;
pub use step::SendStep;
pub use step::Step;
pub use step::WaitStep;
pub use supported::BadOperations;
pub use supported::SupportedOperations;
pub use timestamp::Timestamp;
pub use transport::TransportCode;
pub use transport::TransportFailure;
pub use transport::UnknownTransportCode;
