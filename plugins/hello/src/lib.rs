//! The adapter for Hello, a CSP whose API has one call: `GET /accounts/{id}`.

use hoth_adapter::prelude::*;

/// The Hello API.
pub struct Hello;

hoth_adapter::export!(Hello);

impl Adapter for Hello {
    const NAME: &'static str = env!("CARGO_PKG_NAME");
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const OPERATIONS: &'static [&'static str] = &[operation::GET_PORTFOLIO];
    /// There is nothing to remember between the request and its answer.
    type State = ();

    fn begin(job: &Job) -> Next<Self> {
        let operation = job.operation()?;
        let Operation::GetPortfolio { portfolio_id } = operation else {
            return Err(operation.unsupported());
        };
        Ok(Request::get(["accounts", portfolio_id]).then(()))
    }

    fn resume(_: &Job, (): (), event: Event) -> Next<Self> {
        let account = event.answer()?.success()?.object()?;
        Ok(Step::done(Object::new().with("portfolio", account.into_camel_case())))
    }
}

#[cfg(test)]
mod tests {
    use hoth_adapter::Answer;
    use hoth_adapter::testing;
    use hoth_adapter::testing::Run;

    use super::Hello;

    fn get_portfolio() -> Run<Hello> {
        let input = r#"{"jobId":"job-1","portfolioId":"p 1","payload":{}}"#;
        testing::begin(testing::job("get-portfolio", input))
    }

    #[test]
    fn an_account_is_a_portfolio() {
        let mut run = get_portfolio();
        assert_eq!(run.sent().line(), "GET /accounts/p%201");
        run.answer(Answer::new(200, r#"{"id":"p 1","account_owner":"Ada","budget":1.10}"#));
        assert_eq!(
            run.done().response,
            r#"{"portfolio":{"id":"p 1","accountOwner":"Ada","budget":1.10}}"#
        );
    }

    #[test]
    fn a_refusal_is_passed_on() {
        let failed = get_portfolio().answer(Answer::new(404, "no such account")).failed();
        assert_eq!((&*failed.class, failed.code), ("refused", 404));
        assert_eq!(failed.response, r#"{"details":"no such account"}"#);
    }
}
