//! Environments, and their pairs in GovCloud.

use super::*;

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
        let email = format!("cloud+{}@example.mil", &super::mark()[..12]);
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
fn an_account_that_aws_changes_already_is_asked_for_again_and_not_for_ever() {
    let mut run = begin("add-environment", ENVIRONMENT);
    expect(&mut run, "ListTagsForResource", "ou-1", TAGS);
    let begun = r#"{"CreateAccountStatus":{"Id":"car-1","State":"IN_PROGRESS"}}"#;
    let failed = r#"{"CreateAccountStatus":{"Id":"car-1","State":"FAILED","FailureReason":"CONCURRENT_ACCOUNT_MODIFICATION"}}"#;
    for _ in 0..=crate::service::PAUSES_MAX {
        expect(&mut run, "ListCreateAccountStatus", "", r#"{"CreateAccountStatuses":[]}"#);
        expect(&mut run, "CreateAccount", "", begun);
        run.timer();
        expect(&mut run, "DescribeCreateAccountStatus", "car-1", failed);
        if run.step().starts_with("pause") {
            run.timer();
        }
    }
    assert_eq!(run.failed().class, "job-failed");
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
        run.timer();
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
