//! Operators.

use std::time::Duration;

use super::environment::CREATED;
use super::*;

const ADD: &str = r#"{"portfolioId":"p1","payload":{"environmentId":"s1","administrators":[
    {"email":"o'b@example.mil","dodId":"1"}]}}"#;
const FIND: &str = "GET /v1.0/users?$filter=mail eq 'o''b@example.mil' or otherMails/any(m:m eq 'o''b@example.mil')&$select=id,mail";
const ASSIGN: &str = "PUT /subscriptions/s1/providers/Microsoft.Authorization/roleAssignments/…?api-version=2022-04-01";
const NONE: &str = r#"{"value":[]}"#;
const USER: &str = r#"{"value":[{"id":"u1","mail":"O'B@example.mil"}]}"#;
const INVITED: &str = r#"{"id":"i1","inviteRedeemUrl":"https://secret","invitedUser":{"id":"u1"}}"#;

fn with_administrators(administrators: usize) -> String {
    let one = |n| format!(r#"{{"email":"{n}@example.mil","dodId":"1"}}"#);
    let all: Vec<String> = (0..administrators).map(one).collect();
    format!(
        r#"{{"portfolioId":"p1","payload":{{"name":"Dev","administrators":[{}],"classificationLevel":"UNCLASSIFIED"}}}}"#,
        all.join(",")
    )
}

#[test]
fn a_user_of_the_directory_gets_the_role() {
    let mut run = begin("add-operators", ADD);
    assert_eq!(run.sent().endpoint.map(|(name, _)| name).as_deref(), Some("graph"));
    expect(&mut run, FIND, "", 200, USER);
    let body = r#"{"properties":{"roleDefinitionId":"/subscriptions/s1/providers/Microsoft.Authorization/roleDefinitions/8e3af657-a8ff-443c-a75c-2fe8c4bcb635","principalId":"u1","principalType":"User"}}"#;
    let name = run.sent().target;
    expect(&mut run, ASSIGN, body, 201, "{}");
    let response = run.done().response;
    assert!(
        response.starts_with(r#"{"operators":{"administrators":[{"email":"o'b@example.mil"}]},"#),
        "{response}"
    );
    // The name is that of another job's assignment of the same role.
    let mut job = testing::job("add-operators", ADD).settings(SETTINGS).build();
    job.id = "job-2".to_owned();
    let mut run = testing::begin::<Azure>(job);
    expect(&mut run, FIND, "", 200, USER);
    assert_eq!(run.sent().target, name);
}

#[test]
fn a_guest_is_invited_and_the_link_goes_nowhere() {
    let mut run = begin("add-operators", ADD);
    expect(&mut run, FIND, "", 200, NONE);
    let body = r#"{"invitedUserEmailAddress":"o'b@example.mil","inviteRedirectUrl":"https://portal.azure.us","sendInvitationMessage":true}"#;
    assert_eq!(run.sent().retry, "unsent");
    expect(&mut run, "POST /v1.0/invitations", body, 201, INVITED);
    let waiting = run.waiting();
    assert_eq!(waiting.purpose, "checkpoint");
    assert_eq!(waiting.details, r#"{"made":[{"kind":"guest","id":"u1"}]}"#);
    assert!(!run.step().contains("secret"), "{}", run.step());
    run.timer();
    expect(&mut run, ASSIGN, r#""principalId":"u1""#, 200, "{}");
    assert!(!run.step().contains("secret"), "{}", run.step());
    run.done();
}

#[test]
fn a_portfolio_has_operators_too() {
    let input = ADD.replace(r#""environmentId":"s1","#, "");
    let mut run = begin("add-operators", &input);
    expect(&mut run, FIND, "", 200, USER);
    let line = "PUT /providers/Microsoft.Management/managementGroups/p1/providers/Microsoft.Authorization/roleAssignments/…";
    let role = r#""roleDefinitionId":"/providers/Microsoft.Authorization/roleDefinitions/8e3"#;
    expect(&mut run, line, role, 201, "{}");
    run.done();
}

#[test]
fn a_role_that_the_operator_has_is_a_success() {
    let mut run = begin("add-operators", ADD);
    expect(&mut run, FIND, "", 200, USER);
    expect(&mut run, ASSIGN, "", 409, &error("RoleAssignmentExists"));
    run.done();
}

#[test]
fn a_new_guest_is_waited_for() {
    let mut run = begin("add-operators", ADD);
    expect(&mut run, FIND, "", 200, NONE);
    expect(&mut run, "POST /v1.0/invitations", "", 201, INVITED);
    run.timer();
    let mut total = Duration::ZERO;
    for nth in 0..hoth_adapter::calls::SOON_MAX {
        expect(&mut run, ASSIGN, "", 400, &error("PrincipalNotFound"));
        let after = run.step().lines().find_map(|line| {
            line.trim().strip_prefix("after: ")?.strip_suffix(" ms")?.parse().ok()
        });
        let after = Duration::from_millis(after.expect("a pause before the request"));
        let backoff = Duration::from_secs(1 << nth).min(hoth_adapter::calls::SOON);
        assert!((backoff..backoff + Duration::from_secs(1)).contains(&after), "{nth} {after:?}");
        total += after;
    }
    assert!(total > Duration::from_secs(60), "{total:?}");
    for _ in 0..crate::arm::PAUSES_MAX {
        expect(&mut run, ASSIGN, "", 400, &error("PrincipalNotFound"));
        assert_eq!(run.waiting().purpose, "pause");
        run.timer();
    }
    expect(&mut run, ASSIGN, "", 400, &error("PrincipalNotFound"));
    let failure = run.failed();
    assert_eq!((failure.class.as_str(), failure.code), ("refused", 400));
    assert!(failure.response.contains(r#""made":[{"kind":"guest","id":"u1"}]"#));
}

#[test]
fn a_lost_invitation_is_searched_for() {
    let mut run = begin("add-operators", ADD);
    expect(&mut run, FIND, "", 200, NONE);
    run.no_answer("reset", None);
    assert_eq!(run.waiting().purpose, "pause");
    run.timer();
    // A failure of Graph's may have come late, too.
    expect(&mut run, FIND, "", 200, NONE);
    expect(&mut run, "POST /v1.0/invitations", "", 503, &error("ServiceUnavailable"));
    assert_eq!(run.waiting().purpose, "pause");
    run.timer();
    expect(&mut run, FIND, "", 200, USER);
    expect(&mut run, ASSIGN, "", 201, "{}");
    run.done();
    // What was never sent is not searched for, and losses have an end.
    let mut run = begin("add-operators", ADD);
    expect(&mut run, FIND, "", 200, NONE);
    run.no_answer("connect", None);
    assert_eq!(run.failed().class, "unavailable");
    let mut run = begin("add-operators", ADD);
    for _ in 0..hoth_adapter::calls::LOSSES_MAX {
        expect(&mut run, FIND, "", 200, NONE);
        run.no_answer("timeout", None);
        run.timer();
    }
    expect(&mut run, FIND, "", 200, NONE);
    run.no_answer("timeout", None);
    assert_eq!(run.failed().code, 504);
}

#[test]
fn the_directory_decides_who_an_operator_is() {
    let settings = SETTINGS.replace(r#""parent""#, r#""users":"existing","parent""#);
    let mut run = begin_with(testing::job("add-operators", ADD).settings(&settings));
    expect(&mut run, FIND, "", 200, NONE);
    assert_eq!(run.failed().code, 404);
    // The address itself counts more than other addresses of a user.
    let mut run = begin("add-operators", ADD);
    let users =
        r#"{"value":[{"id":"u2","mail":"x@example.mil"},{"id":"u1","mail":"o'b@example.mil"}]}"#;
    expect(&mut run, FIND, "", 200, users);
    check(&run, ASSIGN, r#""principalId":"u1""#);
    for users in [
        r#"{"value":[{"id":"u2","mail":"x@example.mil"},{"id":"u1","mail":null}]}"#,
        r#"{"value":[{"id":"u2","mail":"o'b@example.mil"},{"id":"u1","mail":"o'b@example.mil"}]}"#,
    ] {
        let mut run = begin("add-operators", ADD);
        expect(&mut run, FIND, "", 200, users);
        let failure = run.failed();
        assert_eq!(failure.code, 409);
        assert!(!failure.message.contains("example.mil"), "{}", failure.message);
    }
    let mut run = begin("add-operators", ADD);
    expect(&mut run, FIND, "", 200, r#"{"value":[{"id":"u3","mail":"x@example.mil"}]}"#);
    check(&run, ASSIGN, r#""principalId":"u3""#);
}

#[test]
fn requests_for_operators_are_checked_first() {
    let bad_role = SETTINGS.replace("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Owner");
    let no_role = SETTINGS.replace(r#""role":"8e3af657-a8ff-443c-a75c-2fe8c4bcb635","#, "");
    let no_operators = r#"{"portfolioId":"p1","payload":{"administrators":[]}}"#;
    for (settings, operation, input, message) in [
        (&bad_role, "add-operators", ADD, "settings.role must be the GUID of a role definition"),
        (&no_role, "add-operators", ADD, "operators need settings.role"),
        (&no_role, "add-environment", &with_administrators(1), "operators need settings.role"),
        (&SETTINGS.to_owned(), "add-operators", no_operators, "the request has no operators"),
        (
            &SETTINGS.to_owned(),
            "add-environment",
            &with_administrators(101),
            "a request may have 100 operators, not 101",
        ),
    ] {
        let run = begin_with(testing::job(operation, input).settings(settings));
        assert_eq!(run.failed().message, message);
    }
}

#[test]
fn the_administrators_of_an_environment_get_the_role_in_it() {
    let mut run = begin("add-environment", &with_administrators(2).replace("1@", "0@"));
    expect(&mut run, "PUT /providers/Microsoft.Subscription/aliases/", "", 200, CREATED);
    let made = r#"{"made":[{"kind":"subscription","id":"s1"}]}"#;
    assert_eq!(
        (run.waiting().purpose.as_str(), run.waiting().details.as_str()),
        ("checkpoint", made)
    );
    run.timer();
    expect(&mut run, "GET /v1.0/users", "", 200, USER);
    // The rights in a new subscription take a while.
    expect(&mut run, ASSIGN, "", 403, &error("AuthorizationFailed"));
    expect(&mut run, ASSIGN, "", 404, &error("SubscriptionNotFound"));
    expect(&mut run, ASSIGN, "", 201, "{}");
    // The same address twice is one operator.
    assert!(run.done().response.contains(r#""environment":{"id":"s1""#));
}

#[test]
fn a_failure_tells_what_was_created_before() {
    let mut run = begin("add-environment", &with_administrators(2));
    expect(&mut run, "PUT /providers/Microsoft.Subscription/aliases/", "", 200, CREATED);
    run.timer();
    expect(&mut run, "GET /v1.0/users", "", 200, NONE);
    expect(&mut run, "POST /v1.0/invitations", "", 201, INVITED);
    run.timer();
    let assignment = run.sent().target.rsplit('/').next().expect("a name").to_owned();
    expect(&mut run, ASSIGN, "", 201, "{}");
    expect(&mut run, "GET /v1.0/users", "", 403, &error("Authorization_RequestDenied"));
    let failure = run.failed();
    assert_eq!((failure.code, failure.class.as_str()), (403, "refused"));
    let expected = format!(
        r#"{{"details":"Authorization_RequestDenied: m","error":{{"code":"Authorization_RequestDenied","message":"m"}},"made":[{{"kind":"subscription","id":"s1"}},{{"kind":"guest","id":"u1"}},{{"kind":"role-assignment","id":"{assignment}"}}]}}"#
    );
    assert_eq!(failure.response, expected);
}

#[test]
fn many_operators_take_several_runs() {
    let mut run = begin("add-environment", &with_administrators(100));
    expect(&mut run, "PUT /providers/Microsoft.Subscription/aliases/", "", 200, CREATED);
    run.timer();
    let (mut requests, mut checkpoints) = (0, 0);
    for _ in 0..100 {
        for (line, answer) in [("GET /v1.0/users", USER), (ASSIGN, "{}")] {
            if run.step().starts_with("checkpoint") {
                assert!(requests <= 64, "{requests}");
                (requests, checkpoints) = (0, checkpoints + 1);
                run.timer();
            }
            expect(&mut run, line, "", 200, answer);
            requests += 1;
        }
    }
    run.done();
    assert_eq!(checkpoints, 3);
}
