//! Dialogues with AWS: the call that is expected, and the answer to it.

mod costs;
mod environment;
mod operators;
mod portfolio;

use hoth_adapter::Answer;
use hoth_adapter::calls;
use hoth_adapter::testing;
use hoth_adapter::testing::JobBuilder;
use hoth_adapter::testing::Run;

use crate::Aws;

const SETTINGS: &str = r#"{"root":"r-ab12","account_email":"cloud+{id}@example.mil",
    "permission_set":"arn:ps","instance":"arn:i","identity_store":"d-1"}"#;
const ENVIRONMENT: &str = r#"{"portfolioId":"ou-1","payload":{"name":"Dev","administrators":[],
    "classificationLevel":"UNCLASSIFIED"}}"#;
const TAGS: &str = r#"{"Tags":[{"Key":"hoth:to:T1","Value":"2029-01/2031-12"},
    {"Key":"hoth:clin:T1:0001","Value":"CLOUD/UNCLASSIFIED/2029-01/2031-12"}]}"#;

/// The token of `job-1`, and the start of it that names accounts.
fn mark() -> String {
    testing::job("get-portfolio", "{}").build().token("aws")
}

fn name() -> String {
    format!("Dev {}", &mark()[..12])
}

fn begin(operation: &str, input: &str) -> Run<Aws> {
    begin_with(testing::job(operation, input).settings(SETTINGS))
}

fn begin_with(job: JobBuilder) -> Run<Aws> {
    testing::begin::<Aws>(job)
}

/// Checks the operation and a part of the body of the call, and answers.
#[track_caller]
fn expect(run: &mut Run<Aws>, operation: &str, part: &str, answer: &str) {
    let sent = run.sent();
    let target = sent.header("X-Amz-Target").expect("every call has a target");
    assert!(target.ends_with(&format!(".{operation}")), "{target} {:?}", sent.body);
    let body = sent.body.unwrap_or_default();
    assert!(body.contains(part), "{operation}: {body}");
    let status = if answer.contains("__type") { 400 } else { 200 };
    run.answer(Answer::new(status, answer));
}

fn tagged(mark: &str) -> String {
    format!(r#"{{"Tags":[{{"Key":"hoth-job","Value":"{mark}"}}]}}"#)
}
