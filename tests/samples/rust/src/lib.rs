//! An adapter in Rust that is built for `wasm32-wasip2`: reads a portfolio.
//!
//! The sample shows that the standard library works: a `HashMap` gets its
//! random seed from the job's entropy, and the clock is fixed at the time of
//! the call. Adapters that need neither should be built for
//! `wasm32-unknown-unknown`, like those in `plugins`.

use std::hash::BuildHasher as _;
use std::hash::RandomState;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use hoth_adapter::prelude::*;

struct PortfolioRs;

hoth_adapter::export!(PortfolioRs);

impl Adapter for PortfolioRs {
    const NAME: &'static str = "portfolio-rs";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const OPERATIONS: &'static [&'static str] = &[operation::GET_PORTFOLIO];
    type State = ();

    fn begin(job: &Job) -> Next<Self> {
        let operation = job.operation()?;
        let Operation::GetPortfolio { portfolio_id } = operation else {
            return Err(operation.unsupported());
        };
        Ok(Request::get(["portfolios", portfolio_id])
            .header("X-Request-Id", &random())
            .header("X-Sent-At", &now_ms().to_string())
            .scope("atat/read-portfolio")
            .then(()))
    }

    fn resume(_: &Job, (): (), event: Event) -> Next<Self> {
        let answer = event.answer()?.success()?;
        Ok(Step::done(Object::new().with("portfolio", answer.object()?.into_camel_case())))
    }

    fn asked(job: &Job, _: Option<&()>) -> Object {
        let id = match job.operation() {
            Ok(Operation::GetPortfolio { portfolio_id }) => portfolio_id,
            Ok(_) | Err(_) => "",
        };
        Object::new().with("portfolioId", id)
    }
}

fn random() -> String {
    format!("{:016x}", RandomState::new().hash_one("id"))
}

#[expect(clippy::disallowed_methods, reason = "in a guest this clock is the job's")]
fn now_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis())
}
