//! Environments.

use super::*;

const ADD: &str = r#"{"portfolioId":"p1","payload":{"name":"Dev","administrators":[],
    "classificationLevel":"UNCLASSIFIED"}}"#;
const PUT: &str = "PUT /providers/Microsoft.Subscription/aliases/…?api-version=2021-10-01";
const GET: &str = "GET /providers/Microsoft.Subscription/aliases/…?api-version=2021-10-01";

pub const ACCEPTED: &str =
    r#"{"name":"a","properties":{"subscriptionId":null,"provisioningState":"Accepted"}}"#;
pub const CREATED: &str = r#"{"name":"a","properties":{"subscriptionId":"s1","provisioningState":"Succeeded",
    "acceptOwnershipUrl":"https://secret"}}"#;

#[test]
fn an_environment_is_a_subscription_by_an_alias() {
    let mut run = begin("add-environment", ADD);
    let job = testing::job("", "{}").build();
    let mark = job.token("azure");
    let body = format!(
        r#"{{"properties":{{"displayName":"Dev","workload":"Production","billingScope":"/billingAccounts/1/enrollmentAccounts/2","additionalProperties":{{"managementGroupId":"/providers/Microsoft.Management/managementGroups/p1","tags":{{"hoth-job":"{mark}","hoth-clin":"T1.0001"}}}}}}}}"#
    );
    assert!(run.sent().target.ends_with(&job.uuid("environment")));
    expect(&mut run, PUT, &body, 201, ACCEPTED);
    assert_eq!(run.waiting().purpose, "poll");
    let made = format!(r#"{{"made":[{{"kind":"alias","id":"{}"}}]}}"#, job.uuid("environment"));
    assert_eq!(run.waiting().details, made);
    run.timer();
    expect(&mut run, GET, "", 200, ACCEPTED);
    run.timer();
    expect(&mut run, GET, "", 200, CREATED);
    let response = run.done().response;
    let start = r#"{"environment":{"id":"s1","name":"Dev","subscriptionName":"Dev","taskOrderNumber":"T1","clinNumber":"0001"},"#;
    assert!(response.starts_with(start), "{response}");
    assert!(!response.contains("secret"), "{response}");
}

#[test]
fn a_second_put_finds_the_subscription_of_the_first() {
    let mut run = begin("add-environment", ADD);
    expect(&mut run, PUT, "", 200, CREATED);
    assert!(run.done().response.contains(r#""id":"s1""#));
}

#[test]
fn an_alias_may_be_created_in_the_form_of_an_operation() {
    let mut run = begin("add-environment", ADD);
    run.answer(Answer::new(202, "").header_added("azure-asyncoperation", "https://a/1"));
    run.timer();
    expect(&mut run, "GET https://a/1", "", 200, r#"{"status":"Succeeded"}"#);
    expect(&mut run, GET, "", 200, CREATED);
    run.done();
}

#[test]
fn a_subscription_that_azure_did_not_create_is_a_failed_job() {
    for is_polled in [true, false] {
        let mut run = begin("add-environment", ADD);
        if is_polled {
            expect(&mut run, PUT, "", 201, ACCEPTED);
            run.timer();
        }
        run.answer(Answer::new(200, ACCEPTED.replace("Accepted", "FAILED")));
        let failure = run.failed();
        assert_eq!(failure.class, "job-failed");
        let alias = testing::job("", "{}").build().uuid("environment");
        let made = format!(r#""made":[{{"kind":"alias","id":"{alias}"}}]"#);
        assert!(failure.response.contains(&made), "{}", failure.response);
    }
}

#[test]
fn a_subscription_without_an_id_is_an_invalid_answer() {
    let mut run = begin("add-environment", ADD);
    expect(&mut run, PUT, "", 200, &ACCEPTED.replace("Accepted", "Succeeded"));
    assert_eq!(run.failed().message, "the answer of Azure lacks subscriptionId");
}

#[test]
fn an_environment_without_a_clin_is_refused_with_the_reason() {
    for (settings, input, code, message) in [
        (
            SETTINGS.replace("2031-12", "2029-12"),
            ADD.to_owned(),
            400,
            "settings.task_orders of the CSP have no CLIN for the portfolio of the type CLOUD and the classification UNCLASSIFIED whose period contains 2030-01-02",
        ),
        (
            SETTINGS.replace(r#""taskOrderNumber""#, r#""portfolioId":"p2","taskOrderNumber""#),
            ADD.to_owned(),
            400,
            "settings.task_orders of the CSP have no CLIN",
        ),
        (
            SETTINGS.to_owned(),
            ADD.replace("UNCLASSIFIED", "SECRET"),
            400,
            "the CSP does not serve SECRET: see its settings.levels",
        ),
        (
            SETTINGS.replace("billing_scope", "arm_scope"),
            ADD.to_owned(),
            500,
            "environments need settings.billing_scope",
        ),
        (
            SETTINGS.replace(r#""clinNumber""#, r#""number""#),
            ADD.to_owned(),
            500,
            "settings.task_orders[0] cannot be read",
        ),
    ] {
        let failure =
            begin_with(testing::job("add-environment", &input).settings(&settings)).failed();
        assert!(failure.message.starts_with(message), "{}", failure.message);
        assert_eq!(failure.code, code, "{message}");
    }
    let settings =
        SETTINGS.replace(r#""parent""#, r#""levels":["UNCLASSIFIED","SECRET"],"parent""#);
    let input = ADD.replace("UNCLASSIFIED", "SECRET");
    let run = begin_with(testing::job("add-environment", &input).settings(&settings));
    check(&run, PUT, r#""hoth-clin":"T1.0002""#);
}
