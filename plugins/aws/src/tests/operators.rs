//! Operators, and what AWS refuses to create without finding it.

use super::*;

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
fn what_exists_and_is_not_found_is_looked_for_and_then_refused() {
    let conflict = r#"{"__type":"ConflictException","Reason":"UNIQUENESS_CONSTRAINT_VIOLATION"}"#;
    let missing = r#"{"__type":"ResourceNotFoundException"}"#;
    let group = r#"{"GroupId":"g-1"}"#;
    let ended = r#"{"AccountAssignmentCreationStatus":{"Status":"SUCCEEDED"}}"#;
    let operators = r#"{"portfolioId":"ou-1","payload":{"environmentId":"111","administrators":[
        {"email":"a@example.mil","dodId":"1"}]}}"#;
    let mut no_group = begin("add-operators", operators);
    expect(&mut no_group, "GetGroupId", "env-111", missing);
    expect(&mut no_group, "CreateGroup", "env-111", conflict);
    let mut no_user = begin("add-operators", operators);
    expect(&mut no_user, "GetGroupId", "env-111", group);
    expect(&mut no_user, "CreateAccountAssignment", "", ended);
    no_user.timer();
    expect(&mut no_user, "GetUserId", "a@example.mil", missing);
    // Another user may have the address.
    expect(&mut no_user, "CreateUser", "a@example.mil", conflict);
    let mut no_unit = begin("add-portfolio", r#"{"payload":{"name":"P1","taskOrders":[]}}"#);
    let duplicate = r#"{"__type":"DuplicateOrganizationalUnitException"}"#;
    expect(&mut no_unit, "CreateOrganizationalUnit", "P1", duplicate);
    let others = r#"{"OrganizationalUnits":[{"Id":"ou-0","Name":"p1"}]}"#;
    for (run, search, answer) in [
        (&mut no_group, "GetGroupId", missing),
        (&mut no_user, "GetUserId", missing),
        (&mut no_unit, "ListOrganizationalUnitsForParent", others),
    ] {
        for _ in 0..calls::LOSSES_MAX {
            expect(run, search, "", answer);
            assert_eq!(run.waiting().purpose, "pause");
            run.timer();
        }
        expect(run, search, "", answer);
        assert_eq!(run.failed().code, 409);
    }
}

#[test]
fn a_membership_that_conflicts_with_another_change_is_asked_for_again() {
    let input = r#"{"portfolioId":"ou-1","payload":{"environmentId":"111","administrators":[
        {"email":"a@example.mil","dodId":"1"}]}}"#;
    let mut run = begin("add-operators", input);
    expect(&mut run, "GetGroupId", "", r#"{"GroupId":"g-1"}"#);
    let ended = r#"{"AccountAssignmentCreationStatus":{"Status":"SUCCEEDED"}}"#;
    expect(&mut run, "CreateAccountAssignment", "", ended);
    run.timer();
    expect(&mut run, "GetUserId", "", r#"{"UserId":"u-1"}"#);
    let conflict = r#"{"__type":"ConflictException","Reason":"CONCURRENT_MODIFICATION"}"#;
    expect(&mut run, "CreateGroupMembership", "u-1", conflict);
    expect(&mut run, "CreateGroupMembership", "u-1", "{}");
    run.done();
}
