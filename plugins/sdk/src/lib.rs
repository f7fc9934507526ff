//! The SDK for HOTH adapters in Rust.
//!
//! An adapter connects HOTH to one kind of Cloud Service Provider (CSP). An
//! adapter does no I/O: HOTH passes a job to it, the adapter returns the next
//! [`Step`], HOTH carries the step out and resumes the adapter with an
//! [`Event`]. The contract is in `wit/v0.2`, the JSON of every operation in
//! `operations.md` beside it.
//!
//! A complete adapter for a CSP whose API has one call:
//!
//! ```
//! use hoth_adapter::prelude::*;
//!
//! struct Acme;
//!
//! hoth_adapter::export!(Acme);
//!
//! impl Adapter for Acme {
//!     const NAME: &'static str = "acme";
//!     const VERSION: &'static str = env!("CARGO_PKG_VERSION");
//!     const OPERATIONS: &'static [&'static str] = &[operation::GET_PORTFOLIO];
//!     type State = ();
//!
//!     fn begin(job: &Job) -> Next<Self> {
//!         match job.operation()? {
//!             Operation::GetPortfolio { portfolio_id } => {
//!                 Ok(Request::get(["accounts", portfolio_id]).scope("read").then(()))
//!             }
//!             other => Err(other.unsupported()),
//!         }
//!     }
//!
//!     fn resume(_: &Job, _: (), event: Event) -> Next<Self> {
//!         let account = event.answer()?.success()?.object()?;
//!         Ok(Step::done(Object::new().with("portfolio", account.into_camel_case())))
//!     }
//! }
//!
//! // Its test: values in, values out.
//! use hoth_adapter::testing;
//!
//! let job = testing::job("get-portfolio", r#"{"jobId":"j","portfolioId":"p 1","payload":{}}"#);
//! let mut run = testing::begin::<Acme>(job);
//! assert_eq!(run.sent().url(), "/accounts/p%201");
//! run.answer(Answer::new(200, r#"{"account_id":"a","budget":1.10}"#));
//! assert_eq!(run.done().response, r#"{"portfolio":{"accountId":"a","budget":1.10}}"#);
//! ```
//!
//! | | |
//! |---|---|
//! | [`Adapter`], [`export!`] | the definition of an adapter |
//! | [`Job`], [`Operation`], [`payload`] | the accepted request |
//! | [`Request`], [`Answer`], [`Event`] | communication with the CSP |
//! | [`Step`], [`Wait`], [`Outcome`], [`Failure`] | the next step |
//! | [`calls`] | jobs of several calls that build on one another |
//! | [`Json`], [`Object`], [`case`] | JSON that keeps numbers and key order |
//! | [`Timestamp`], [`Date`], [`log`] | the time of the call, days and periods; lines for the operator |
//! | [`Amount`] | costs that are added without rounding |
//! | [`testing`] | a test kit that drives an adapter with values |

mod adapter;
mod amount;
mod answer;
#[doc(hidden)]
pub mod bridge;
pub mod calls;
pub mod case;
mod date;
mod event;
mod failure;
mod job;
pub mod json;
pub mod log;
mod memory;
pub mod operation;
pub mod payload;
mod request;
mod step;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod timestamp;
pub mod wit;

pub use adapter::Adapter;
pub use adapter::Next;
pub use amount::Amount;
pub use amount::NotAnAmount;
pub use answer::Answer;
pub use date::Date;
pub use event::Event;
pub use event::NoAnswer;
pub use failure::Class;
pub use failure::Failure;
pub use job::Job;
pub use json::Json;
pub use json::Object;
pub use operation::Operation;
pub use request::Credential;
pub use request::Method;
pub use request::Request;
pub use request::Retry;
pub use request::Target;
pub use request::percent_encoded;
pub use step::Outcome;
pub use step::Purpose;
pub use step::Step;
pub use step::Wait;
pub use timestamp::Timestamp;

/// The items that most adapters use: `use hoth_adapter::prelude::*`.
pub mod prelude {
    pub use crate::Adapter;
    pub use crate::Answer;
    pub use crate::Event;
    pub use crate::Failure;
    pub use crate::Job;
    pub use crate::Json;
    pub use crate::Next;
    pub use crate::Object;
    pub use crate::Operation;
    pub use crate::Outcome;
    pub use crate::Request;
    pub use crate::Retry;
    pub use crate::Step;
    pub use crate::Timestamp;
    pub use crate::Wait;
    pub use crate::log;
    pub use crate::operation;
}
