//! What an adapter in Rust needs, and all that it needs.
//!
//! An adapter speaks to one kind of Cloud Service Provider (CSP). It does no
//! I/O: HOTH gives it a job, it says what it wants next ([`Step`]), HOTH does
//! that and comes back with what has happened ([`Event`]). The contract is in
//! `wit/v0.1`, the JSON of every operation in `operations.md` beside it.
//!
//! A whole adapter for a CSP whose API has one call:
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
//! // And its test: values in, values out.
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
//! | [`Adapter`], [`export!`] | what an adapter is |
//! | [`Job`], [`Operation`], [`payload`] | what is asked for |
//! | [`Request`], [`Answer`], [`Event`] | talking to the CSP |
//! | [`Step`], [`Wait`], [`Outcome`], [`Failure`] | what comes next |
//! | [`Json`], [`Object`], [`case`] | JSON whose numbers and order survive |
//! | [`Timestamp`], [`log`] | the time of the call; lines for the operator |
//! | [`testing`] | drives an adapter by values |

mod adapter;
mod answer;
#[doc(hidden)]
pub mod bridge;
pub mod case;
mod event;
mod failure;
mod job;
pub mod json;
pub mod log;
#[cfg(target_family = "wasm")]
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
pub use answer::Answer;
pub use event::Event;
pub use event::NoAnswer;
pub use failure::Class;
pub use failure::Failure;
pub use job::Job;
pub use json::Json;
pub use json::Object;
pub use operation::Operation;
pub use request::Method;
pub use request::Request;
pub use request::Target;
pub use request::percent_encoded;
pub use step::Outcome;
pub use step::Step;
pub use step::Wait;
pub use timestamp::Timestamp;

/// For `use hoth_adapter::prelude::*`: what most adapters name.
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
    pub use crate::Step;
    pub use crate::Timestamp;
    pub use crate::Wait;
    pub use crate::log;
    pub use crate::operation;
}
