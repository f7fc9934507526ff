//! Dialogues with Azure: the call that is expected, and the answer to it.

mod costs;
mod environment;
mod errors;
mod operators;
mod portfolio;

use hoth_adapter::Answer;
use hoth_adapter::testing;
use hoth_adapter::testing::JobBuilder;
use hoth_adapter::testing::Run;

use crate::Azure;

const SETTINGS: &str = r#"{"cloud":"us-government","parent":"hoth",
    "billing_scope":"/billingAccounts/1/enrollmentAccounts/2",
    "role":"8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    "task_orders":[{"taskOrderNumber":"T1","popStartDate":"2029-01","popEndDate":"2031-12",
      "clins":[
        {"clinNumber":"0001","type":"CLOUD","classificationLevel":"UNCLASSIFIED",
         "popStartDate":"2029-01","popEndDate":"2031-12"},
        {"clinNumber":"0002","type":"CLOUD","classificationLevel":"SECRET",
         "popStartDate":"2029-01","popEndDate":"2031-12"}]}]}"#;

const ARM: &str = "https://management.core.usgovcloudapi.net/.default";
const GRAPH: &str = "https://graph.microsoft.us/.default";

const GROUP: &str = r#"{"id":"/providers/Microsoft.Management/managementGroups/p1","name":"p1",
    "properties":{"displayName":"P1","children":null}}"#;

fn begin(operation: &str, input: &str) -> Run<Azure> {
    begin_with(testing::job(operation, input).settings(SETTINGS))
}

fn begin_with(job: JobBuilder) -> Run<Azure> {
    testing::begin::<Azure>(job)
}

/// Checks the line of the request, such as `PUT …/managementGroups/`, and a
/// part of its body, and answers. A `…` stands for any text.
#[track_caller]
fn expect(run: &mut Run<Azure>, line: &str, part: &str, status: u16, answer: &str) {
    check(run, line, part);
    run.answer(Answer::new(status, answer));
}

#[track_caller]
fn check(run: &Run<Azure>, line: &str, part: &str) {
    let sent = run.sent();
    let sent_line = sent.line();
    let mut rest = sent_line.as_str();
    for (nth, text) in line.split('…').enumerate() {
        let at = rest.find(text).filter(|at| nth > 0 || *at == 0);
        let at = at.unwrap_or_else(|| panic!("expected {line}, not {sent_line}"));
        rest = &rest[at + text.len()..];
    }
    let body = sent.body.unwrap_or_default();
    assert!(body.contains(part), "{sent_line}: {body}");
    let is_graph = sent.endpoint.is_some_and(|(name, _)| name == "graph");
    assert_eq!(sent.scopes, [if is_graph { GRAPH } else { ARM }]);
}

fn error(code: &str) -> String {
    format!(r#"{{"error":{{"code":"{code}","message":"m"}}}}"#)
}
