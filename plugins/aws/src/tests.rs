//! Dialogues with AWS: the call that is expected, and the answer to it.

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
fn an_environment_is_an_account_that_is_found_or_created_once() {
    let created = r#"{"CreateAccountStatus":{"Id":"car-1","State":"SUCCEEDED","AccountId":"111"}}"#;
    for is_known in [false, true] {
        let mut run = begin("add-environment", ENVIRONMENT);
        expect(&mut run, "ListTagsForResource", "ou-1", TAGS);
        if is_known {
            let name = name();
            let known = format!(
                r#"{{"CreateAccountStatuses":[{{"Id":"car-1","AccountName":"{name}","State":"IN_PROGRESS"}}]}}"#
            );
            expect(&mut run, "ListCreateAccountStatus", "IN_PROGRESS", &known);
        } else {
            let none = r#"{"CreateAccountStatuses":[]}"#;
            expect(&mut run, "ListCreateAccountStatus", "IN_PROGRESS", none);
            let part = format!(r#"{{"Key":"hoth-job","Value":"{}"}}"#, mark());
            let begun = r#"{"CreateAccountStatus":{"Id":"car-1","State":"IN_PROGRESS"}}"#;
            assert_eq!(run.sent().retry, "unsent");
            expect(&mut run, "CreateAccount", &part, begun);
        }
        assert_eq!(run.waiting().reference.as_deref(), Some("car-1"));
        run.timer();
        expect(&mut run, "DescribeCreateAccountStatus", "car-1", created);
        run.timer();
        expect(&mut run, "ListParents", "111", r#"{"Parents":[{"Id":"r-ab12"}]}"#);
        let part = r#""SourceParentId":"r-ab12","DestinationParentId":"ou-1""#;
        expect(&mut run, "MoveAccount", part, "{}");
        let pending = r#"{"Account":{"Id":"111","State":"PENDING_ACTIVATION"}}"#;
        expect(&mut run, "DescribeAccount", "111", pending);
        run.timer();
        expect(&mut run, "DescribeAccount", "111", r#"{"Account":{"Id":"111","State":"ACTIVE"}}"#);
        let response = run.done().response;
        assert!(response.contains(r#""id":"111","name":"Dev""#), "{response}");
        assert!(response.contains(r#""taskOrderNumber":"T1","clinNumber":"0001""#), "{response}");
    }
}

#[test]
fn an_address_that_is_taken_is_the_jobs_own_account_or_a_refusal() {
    for (mark, code) in [(mark(), None), ("other".to_owned(), Some(409))] {
        let mut run = begin("add-environment", ENVIRONMENT);
        expect(&mut run, "ListTagsForResource", "ou-1", TAGS);
        expect(&mut run, "ListCreateAccountStatus", "", r#"{"CreateAccountStatuses":[]}"#);
        let begun = r#"{"CreateAccountStatus":{"Id":"car-1","State":"IN_PROGRESS"}}"#;
        expect(&mut run, "CreateAccount", "@example.mil", begun);
        run.timer();
        let failed = r#"{"CreateAccountStatus":{"Id":"car-1","State":"FAILED","FailureReason":"EMAIL_ALREADY_EXISTS"}}"#;
        expect(&mut run, "DescribeCreateAccountStatus", "car-1", failed);
        let email = format!("cloud+{}@example.mil", &super::tests::mark()[..12]);
        let accounts = format!(r#"{{"Accounts":[{{"Id":"222","Email":"{email}"}}]}}"#);
        expect(&mut run, "ListAccounts", "", &accounts);
        expect(&mut run, "ListTagsForResource", "222", &tagged(&mark));
        match code {
            None => assert_eq!(run.waiting().note, "the account is created"),
            Some(code) => assert_eq!(run.failed().code, code),
        }
    }
}

#[test]
fn an_environment_without_a_clin_of_its_classification_is_refused() {
    let mut run = begin("add-environment", ENVIRONMENT);
    expect(&mut run, "ListTagsForResource", "ou-1", r#"{"Tags":[]}"#);
    let failed = run.failed();
    assert_eq!((failed.class.as_str(), failed.code), ("refused", 400));
    assert!(failed.message.contains("CLOUD and the classification UNCLASSIFIED"));
    let secret = ENVIRONMENT.replace("UNCLASSIFIED", "SECRET");
    assert!(begin("add-environment", &secret).failed().message.contains("does not serve SECRET"));
}

#[test]
fn what_was_created_stands_in_a_failure() {
    let mut run = begin("add-environment", ENVIRONMENT);
    expect(&mut run, "ListTagsForResource", "ou-1", TAGS);
    let known = r#"{"CreateAccountStatus":{"Id":"car-1","State":"SUCCEEDED","AccountId":"111"}}"#;
    expect(&mut run, "ListCreateAccountStatus", "", r#"{"CreateAccountStatuses":[]}"#);
    expect(&mut run, "CreateAccount", "", known);
    run.timer();
    expect(&mut run, "ListParents", "111", r#"{"__type":"AccessDeniedException","Message":"no"}"#);
    let failed = run.failed();
    assert_eq!(failed.code, 403);
    let made = r#""made":[{"kind":"account","id":"111"}]"#;
    assert!(failed.response.contains(made), "{}", failed.response);
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
fn operators_are_users_in_a_group_that_has_access() {
    let input = r#"{"portfolioId":"ou-1","payload":{"environmentId":"111","administrators":[
        {"email":"a.b@example.mil","dodId":"1"},{"email":"c@example.mil","dodId":"2"}]}}"#;
    let mut run = begin("add-operators", input);
    let missing = r#"{"__type":"ResourceNotFoundException"}"#;
    let conflict = r#"{"__type":"ConflictException"}"#;
    expect(&mut run, "GetGroupId", "env-111", missing);
    expect(&mut run, "CreateGroup", "env-111", r#"{"GroupId":"g-1"}"#);
    // The group has not reached Identity Center.
    expect(&mut run, "CreateAccountAssignment", "g-1", conflict);
    let begun = r#"{"AccountAssignmentCreationStatus":{"Status":"IN_PROGRESS","RequestId":"q"}}"#;
    expect(&mut run, "CreateAccountAssignment", "g-1", begun);
    assert_eq!(run.waiting().reference.as_deref(), Some("q"));
    run.timer();
    let ended = r#"{"AccountAssignmentCreationStatus":{"Status":"SUCCEEDED"}}"#;
    expect(&mut run, "DescribeAccountAssignmentCreationStatus", "q", ended);
    run.timer();
    expect(&mut run, "GetUserId", "a.b@example.mil", missing);
    expect(&mut run, "CreateUser", r#""GivenName":"a","FamilyName":"b""#, conflict);
    expect(&mut run, "GetUserId", "a.b@example.mil", r#"{"UserId":"u-1"}"#);
    expect(&mut run, "CreateGroupMembership", "u-1", "{}");
    expect(&mut run, "GetUserId", "c@example.mil", r#"{"UserId":"u-2"}"#);
    expect(&mut run, "CreateGroupMembership", "u-2", conflict);
    assert!(run.done().response.contains("c@example.mil"));
}

#[test]
fn a_missing_user_is_a_refusal_where_users_come_from_elsewhere() {
    let input = r#"{"portfolioId":"ou-1","payload":{"environmentId":"111","administrators":[
        {"email":"a@example.mil","dodId":"1"}]}}"#;
    let settings = SETTINGS.replace(r#""root""#, r#""users":"existing","root""#);
    let mut run = begin_with(testing::job("add-operators", input).settings(&settings));
    expect(&mut run, "GetGroupId", "", r#"{"GroupId":"g-1"}"#);
    let ended = r#"{"AccountAssignmentCreationStatus":{"Status":"SUCCEEDED"}}"#;
    expect(&mut run, "CreateAccountAssignment", "", ended);
    run.timer();
    expect(&mut run, "GetUserId", "", r#"{"__type":"ResourceNotFoundException"}"#);
    assert_eq!(run.failed().code, 404);
}

#[test]
fn a_pair_of_accounts_is_joined_by_the_new_account_itself() {
    let settings =
        SETTINGS.replace(r#""root""#, r#""govcloud":{"commercial_parent":"ou-c"},"root""#);
    let mut run = begin_with(testing::job("add-environment", ENVIRONMENT).settings(&settings));
    expect(&mut run, "ListTagsForResource", "ou-1", TAGS);
    let commercial = |run: &Run<Aws>| {
        let endpoint = run.sent().endpoint.map(|(name, _)| name);
        assert_eq!(endpoint.as_deref(), Some("commercial-organizations"));
    };
    commercial(&run);
    expect(&mut run, "ListCreateAccountStatus", "", r#"{"CreateAccountStatuses":[]}"#);
    commercial(&run);
    let created = r#"{"CreateAccountStatus":{"Id":"car-1","State":"SUCCEEDED","AccountId":"111",
        "GovCloudAccountId":"222"}}"#;
    expect(&mut run, "CreateGovCloudAccount", "", created);
    run.timer();
    commercial(&run);
    expect(&mut run, "ListParents", "111", r#"{"Parents":[{"Id":"r-c"}]}"#);
    expect(&mut run, "MoveAccount", "ou-c", "{}");
    assert_eq!(run.sent().endpoint, None);
    expect(&mut run, "ListHandshakesForOrganization", "INVITE", r#"{"Handshakes":[]}"#);
    let invited = r#"{"Handshake":{"Id":"h-1","State":"REQUESTED"}}"#;
    expect(&mut run, "InviteAccountToOrganization", "222", invited);
    run.timer();
    let credential = format!("{:?}", run.sent().credential);
    assert!(credential.contains("new-account") && credential.contains("222"), "{credential}");
    expect(&mut run, "AcceptHandshake", "h-1", r#"{"Handshake":{"Id":"h-1"}}"#);
    run.timer();
    expect(&mut run, "TagResource", r#"{"Key":"hoth-pair","Value":"111"}"#, "{}");
    expect(&mut run, "ListParents", "222", r#"{"Parents":[{"Id":"ou-1"}]}"#);
    expect(&mut run, "DescribeAccount", "222", r#"{"Account":{"State":"ACTIVE"}}"#);
    assert!(run.done().response.contains(r#""id":"222""#));
}

#[test]
fn the_parent_of_an_account_may_be_on_a_later_page() {
    let pair = SETTINGS.replace(r#""root""#, r#""govcloud":{"commercial_parent":"ou-1"},"root""#);
    let (own, commercial) = (SETTINGS, pair.as_str());
    for (settings, create, next) in [
        (own, "CreateAccount", "DescribeAccount"),
        (commercial, "CreateGovCloudAccount", "ListHandshakesForOrganization"),
    ] {
        let mut run = begin_with(testing::job("add-environment", ENVIRONMENT).settings(settings));
        expect(&mut run, "ListTagsForResource", "ou-1", TAGS);
        expect(&mut run, "ListCreateAccountStatus", "", r#"{"CreateAccountStatuses":[]}"#);
        let created = r#"{"CreateAccountStatus":{"Id":"car-1","State":"SUCCEEDED","AccountId":"111",
            "GovCloudAccountId":"222"}}"#;
        let created = if settings == own {
            created.replace(r#""GovCloudAccountId":"222""#, r#""Other":"""#)
        } else {
            created.to_owned()
        };
        expect(&mut run, create, "", &created);
        run.timer();
        let empty = r#"{"Parents":[],"NextToken":"n"}"#;
        // Pages without an end are those of an account that is not visible yet,
        // as is a list without a parent, and an account that is unknown.
        let unknown = r#"{"__type":"ChildNotFoundException"}"#;
        for last in [empty, r#"{"Parents":[]}"#, unknown] {
            expect(&mut run, "ListParents", r#"{"ChildId":"111"}"#, empty);
            for _ in 2..crate::placement::PAGES_MAX {
                expect(&mut run, "ListParents", r#""NextToken":"n""#, empty);
            }
            expect(&mut run, "ListParents", r#""NextToken":"n""#, last);
            assert_eq!(run.waiting().purpose, "poll");
            run.timer();
        }
        expect(&mut run, "ListParents", r#"{"ChildId":"111"}"#, empty);
        expect(&mut run, "ListParents", r#""NextToken":"n""#, r#"{"Parents":[{"Id":"r-1"}]}"#);
        // The response of a move may have been lost.
        let moved = r#"{"__type":"DuplicateAccountException"}"#;
        expect(&mut run, "MoveAccount", r#""SourceParentId":"r-1""#, moved);
        expect(&mut run, "ListParents", "111", r#"{"Parents":[{"Id":"ou-1"}]}"#);
        assert!(run.sent().header("X-Amz-Target").is_some_and(|target| target.ends_with(next)));
    }
}

#[test]
fn a_commercial_account_without_a_place_of_its_own_stays() {
    let settings = SETTINGS.replace(r#""root""#, r#""govcloud":{},"root""#);
    let mut run = begin_with(testing::job("add-environment", ENVIRONMENT).settings(&settings));
    expect(&mut run, "ListTagsForResource", "ou-1", TAGS);
    expect(&mut run, "ListCreateAccountStatus", "", r#"{"CreateAccountStatuses":[]}"#);
    let created = r#"{"CreateAccountStatus":{"Id":"car-1","State":"SUCCEEDED","AccountId":"111",
        "GovCloudAccountId":"222"}}"#;
    expect(&mut run, "CreateGovCloudAccount", "", created);
    run.timer();
    expect(&mut run, "ListHandshakesForOrganization", "INVITE", r#"{"Handshakes":[]}"#);
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

#[test]
fn costs_are_added_over_the_accounts_of_a_clin() {
    let input = r#"{"portfolioId":"ou-1","startDate":"2029-11","endDate":"2030-02"}"#;
    let mut run = begin("cost-by-portfolio", input);
    expect(&mut run, "ListTagsForResource", "ou-1", TAGS);
    let accounts = r#"{"Accounts":[{"Id":"1"},{"Id":"2"},{"Id":"3"}]}"#;
    expect(&mut run, "ListAccountsForParent", "ou-1", accounts);
    let marked = r#"{"Tags":[{"Key":"hoth-clin","Value":"T1.0001"}]}"#;
    let paired =
        r#"{"Tags":[{"Key":"hoth-clin","Value":"T1.0001"},{"Key":"hoth-pair","Value":"9"}]}"#;
    expect(&mut run, "ListTagsForResource", r#""1""#, marked);
    expect(&mut run, "ListTagsForResource", r#""2""#, paired);
    expect(&mut run, "ListTagsForResource", r#""3""#, r#"{"Tags":[]}"#);
    assert_eq!(run.sent().retry, "never");
    let month = |start: &str, amount: &str| {
        format!(
            r#"{{"TimePeriod":{{"Start":"{start}"}},"Total":{{"NetUnblendedCost":{{"Amount":"{amount}"}}}}}}"#
        )
    };
    let first = month("2029-11-01", "0.1");
    let page = format!(r#"{{"ResultsByTime":[{first}],"NextPageToken":"n"}}"#);
    // The period ends tomorrow: today is 2030-01-02.
    let part = r#""TimePeriod":{"Start":"2029-11-01","End":"2030-01-03"}"#;
    expect(&mut run, "GetCostAndUsage", part, &page);
    let page = format!(r#"{{"ResultsByTime":[{},{first}]}}"#, month("2029-12-01", "2E-1"));
    expect(&mut run, "GetCostAndUsage", r#""Values":["1","9"]"#, &page);
    let forecast =
        r#"{"ForecastResultsByTime":[{"TimePeriod":{"Start":"2030-01-02"},"MeanValue":"5"}]}"#;
    let part = r#""TimePeriod":{"Start":"2030-01-02","End":"2030-03-01"}"#;
    expect(&mut run, "GetCostForecast", part, forecast);
    let expected = r#"{"taskOrders":[{"taskOrderId":"T1","taskOrderNumber":"T1","clins":[{"clinNumber":"0001","actual":{"total":"0.40","results":[{"month":"2029-11","value":"0.20"},{"month":"2029-12","value":"0.20"}]},"forecast":{"total":"5.00","results":[{"month":"2030-01","value":"5.00"}]}}]}]}"#;
    assert_eq!(run.done().response, expected);
}

#[test]
fn costs_of_an_unknown_clin_are_refused() {
    let input = r#"{"portfolioId":"ou-1","taskOrderNumber":"T1","clin":"9","startDate":"2029-11","endDate":"2029-12"}"#;
    let mut run = begin("cost-by-clin", input);
    expect(&mut run, "ListTagsForResource", "ou-1", TAGS);
    assert_eq!(run.failed().code, 404);
}
