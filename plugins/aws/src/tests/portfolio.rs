//! Portfolios and task orders, and errors that any call may meet.

use super::*;

#[test]
fn a_portfolio_is_an_organizational_unit_with_its_task_orders_as_tags() {
    let input = r#"{"payload":{"name":"P1","taskOrders":[{"taskOrderNumber":"T1",
        "popStartDate":"2029-01","popEndDate":"2031-12","clins":[]}]}}"#;
    let mut run = begin("add-portfolio", input);
    let part = r#"{"Key":"hoth:to:T1","Value":"2029-01/2031-12"}"#;
    let unit = r#"{"OrganizationalUnit":{"Id":"ou-1","Arn":"arn:ou","Name":"P1"}}"#;
    expect(&mut run, "CreateOrganizationalUnit", part, unit);
    let start = r#"{"portfolio":{"id":"ou-1","name":"P1","arn":"arn:ou"},"$metadata":"#;
    assert!(run.done().response.starts_with(start), "{}", run.done().response);
}

#[test]
fn a_unit_of_the_same_name_is_the_jobs_own_or_a_refusal() {
    for (mark, is_own) in [(mark(), true), ("other".to_owned(), false)] {
        let mut run = begin("add-portfolio", r#"{"payload":{"name":"P1","taskOrders":[]}}"#);
        let duplicate = r#"{"__type":"DuplicateOrganizationalUnitException"}"#;
        expect(&mut run, "CreateOrganizationalUnit", "P1", duplicate);
        let first = r#"{"OrganizationalUnits":[{"Id":"ou-0","Name":"P0"}],"NextToken":"n"}"#;
        expect(&mut run, "ListOrganizationalUnitsForParent", "r-ab12", first);
        let second = r#"{"OrganizationalUnits":[{"Id":"ou-1","Name":"P1"}]}"#;
        expect(&mut run, "ListOrganizationalUnitsForParent", r#""NextToken":"n""#, second);
        expect(&mut run, "ListTagsForResource", "ou-1", &tagged(&mark));
        if is_own {
            assert!(run.done().response.contains(r#""id":"ou-1""#));
        } else {
            assert_eq!(run.failed().code, 409);
        }
    }
}

#[test]
fn a_lost_response_is_searched_for_before_anything_is_created_again() {
    let mut run = begin("add-portfolio", r#"{"payload":{"name":"P1","taskOrders":[]}}"#);
    assert_eq!(run.sent().retry, "unsent");
    run.no_answer("reset", None).timer();
    let none = r#"{"OrganizationalUnits":[]}"#;
    expect(&mut run, "ListOrganizationalUnitsForParent", "r-ab12", none);
    run.sent();
    assert!(
        run.sent().header("X-Amz-Target").is_some_and(|t| t.ends_with("CreateOrganizationalUnit"))
    );
}

#[test]
fn a_creation_whose_response_is_always_lost_fails_in_the_end() {
    let mut run = begin("add-portfolio", r#"{"payload":{"name":"P1","taskOrders":[]}}"#);
    let internal = || Answer::new(500, r#"{"__type":"ServiceException"}"#);
    for _ in 0..calls::LOSSES_MAX {
        run.answer(internal()).timer();
        let none = r#"{"OrganizationalUnits":[]}"#;
        expect(&mut run, "ListOrganizationalUnitsForParent", "r-ab12", none);
    }
    assert_eq!(run.answer(internal()).failed().code, 502);
}

#[test]
fn a_run_that_reads_many_pages_stores_its_progress() {
    let mut run = begin("add-portfolio", r#"{"payload":{"name":"P1","taskOrders":[]}}"#);
    let duplicate = r#"{"__type":"DuplicateOrganizationalUnitException"}"#;
    expect(&mut run, "CreateOrganizationalUnit", "P1", duplicate);
    let page = r#"{"OrganizationalUnits":[],"NextToken":"n"}"#;
    for _ in 1..calls::REQUESTS_MAX {
        expect(&mut run, "ListOrganizationalUnitsForParent", "r-ab12", page);
    }
    assert_eq!(run.waiting().purpose, "checkpoint");
    run.timer();
    expect(&mut run, "ListOrganizationalUnitsForParent", r#""NextToken":"n""#, page);
}

#[test]
fn a_throttle_is_asked_again_soon_then_later_and_not_for_ever() {
    let mut run = begin("get-portfolio", r#"{"portfolioId":"ou-1","payload":{}}"#);
    let throttle = r#"{"__type":"TooManyRequestsException"}"#;
    for _ in 0..calls::SOON_MAX {
        expect(&mut run, "DescribeOrganizationalUnit", "ou-1", throttle);
    }
    for _ in 0..crate::service::PAUSES_MAX {
        expect(&mut run, "DescribeOrganizationalUnit", "ou-1", throttle);
        run.timer();
    }
    expect(&mut run, "DescribeOrganizationalUnit", "ou-1", throttle);
    assert_eq!(run.failed().code, 503);
}

#[test]
fn a_task_order_that_changes_leaves_no_old_tags() {
    let order = r#"{"taskOrderNumber":"T1","popStartDate":"2029-01","popEndDate":"2031-12",
        "clins":[{"clinNumber":"0001","type":"CLOUD","classificationLevel":"UNCLASSIFIED",
        "popStartDate":"2029-01","popEndDate":"2031-12"}]}"#;
    let input =
        |more: &str| format!(r#"{{"portfolioId":"ou-1","payload":{{{more}"taskOrder":{order}}}}}"#);
    let mut run = begin("add-task-order", &input(""));
    expect(&mut run, "TagResource", "CLOUD/UNCLASSIFIED/2029-01/2031-12", "");
    assert!(run.failed().message.contains("not a JSON object"), "an answer without a body");
    let mut run = begin("add-task-order", &input(""));
    expect(&mut run, "TagResource", "hoth:clin:T1:0001", "{}");
    assert!(run.done().response.contains(r#""id":"T1""#));
    let mut run = begin("update-task-order", &input(r#""taskOrderId":"T0","#));
    expect(&mut run, "TagResource", "hoth:clin:T1:0001", "{}");
    let tags = r#"{"Tags":[{"Key":"hoth:clin:T1:0001","Value":""},{"Key":"hoth:clin:T1:0002","Value":""},
        {"Key":"hoth:to:T0","Value":""},{"Key":"hoth:to:T00","Value":""}]}"#;
    expect(&mut run, "ListTagsForResource", "ou-1", tags);
    expect(&mut run, "UntagResource", r#"["hoth:clin:T1:0002","hoth:to:T0"]"#, "{}");
    run.done();
}
