"""Users, groups, memberships and assignments."""

from .support import GOVCLOUD, Case


class Identity(Case):
    """The calls of ADD_OPERATORS."""

    def setUp(self):
        """Finds the instance of Identity Center in GovCloud."""
        super().setUp()
        self.store, self.center = self.client("identitystore-gov"), self.client("sso-gov")
        [instance] = self.center.list_instances()["Instances"]
        self.instance, self.store_id = instance["InstanceArn"], instance["IdentityStoreId"]

    def user(self, email="op@example.com"):
        """Returns the id of a new user."""
        made = self.store.create_user(
            IdentityStoreId=self.store_id,
            UserName=email,
            DisplayName=email,
            Name={"GivenName": "Given", "FamilyName": "Family"},
            Emails=[{"Value": email, "Primary": True}],
        )
        return made["UserId"]

    def group(self, name="env-1"):
        """Returns the id of a new group."""
        made = self.store.create_group(IdentityStoreId=self.store_id, DisplayName=name)
        return made["GroupId"]

    @staticmethod
    def named(path, value):
        """Returns the identifier of a user or a group by an attribute."""
        return {"UniqueAttribute": {"AttributePath": path, "AttributeValue": value}}

    def assignment(self, **changes):
        """Returns the parameters of an assignment."""
        return {
            "InstanceArn": self.instance,
            "TargetId": "200000000002",
            "TargetType": "AWS_ACCOUNT",
            "PermissionSetArn": self.facts(GOVCLOUD)["permission_set"],
            "PrincipalType": "GROUP",
            **changes,
        }

    def poll(self, id):
        """Returns the status of an assignment."""
        answer = self.center.describe_account_assignment_creation_status(
            InstanceArn=self.instance, AccountAssignmentCreationRequestId=id
        )
        return answer["AccountAssignmentCreationStatus"]

    def begin(self, **changes):
        """Returns the id of a new assignment."""
        answer = self.center.create_account_assignment(**self.assignment(**changes))
        status = answer["AccountAssignmentCreationStatus"]
        self.assertEqual(status["Status"], "IN_PROGRESS")
        return status["RequestId"]

    def test_a_user_is_found_by_name(self):
        identifier = self.named("userName", "op@example.com")
        parameters = {"IdentityStoreId": self.store_id, "AlternateIdentifier": identifier}
        answer = self.refused("ResourceNotFoundException", self.store.get_user_id, **parameters)
        self.assertEqual(answer["ResourceType"], "USER")
        user = self.user()
        self.assertEqual(self.store.get_user_id(**parameters)["UserId"], user)
        described = self.store.describe_user(IdentityStoreId=self.store_id, UserId=user)
        self.assertEqual(described["UserName"], "op@example.com")
        answer = self.refused("ConflictException", self.user)
        self.assertEqual(answer["Reason"], "UNIQUENESS_CONSTRAINT_VIOLATION")

    def test_a_group_is_found_by_name(self):
        identifier = self.named("displayName", "env-1")
        parameters = {"IdentityStoreId": self.store_id, "AlternateIdentifier": identifier}
        self.refused("ResourceNotFoundException", self.store.get_group_id, **parameters)
        group = self.group()
        self.assertEqual(self.store.get_group_id(**parameters)["GroupId"], group)
        self.refused("ConflictException", self.group)

    def test_a_second_membership_is_a_conflict(self):
        user, group = self.user(), self.group()
        membership = {
            "IdentityStoreId": self.store_id,
            "GroupId": group,
            "MemberId": {"UserId": user},
        }
        self.store.create_group_membership(**membership)
        answer = self.refused("ConflictException", self.store.create_group_membership, **membership)
        self.assertEqual(answer["Reason"], "UNIQUENESS_CONSTRAINT_VIOLATION")
        listed = self.store.list_group_memberships(IdentityStoreId=self.store_id, GroupId=group)
        self.assertEqual(len(listed["GroupMemberships"]), 1)
        self.assertEqual(self.state(GOVCLOUD)["memberships"], [{"group": group, "user": user}])
        missing = {**membership, "MemberId": {"UserId": group}}
        self.refused("ResourceNotFoundException", self.store.create_group_membership, **missing)

    def test_the_two_partitions_have_their_own_stores(self):
        self.user()
        commercial = self.client("identitystore")
        store = self.facts()["identity_store"]
        self.assertEqual(commercial.list_users(IdentityStoreId=store)["Users"], [])
        self.refused(
            "ResourceNotFoundException", commercial.list_users, IdentityStoreId=self.store_id
        )

    def test_parameters_are_held_to_the_model(self):
        create = self.store.create_group
        for name in ["", "n" * 1025, "\x00"]:
            self.refused(
                "ValidationException", create, IdentityStoreId=self.store_id, DisplayName=name
            )
        self.refused("ValidationException", create, IdentityStoreId="store", DisplayName="a")
        both = {**self.named("displayName", "a"), "ExternalId": {"Issuer": "a", "Id": "b"}}
        self.refused(
            "ValidationException",
            self.store.get_group_id,
            IdentityStoreId=self.store_id,
            AlternateIdentifier=both,
        )
        self.refused(
            "ValidationException",
            self.center.create_account_assignment,
            **self.assignment(PrincipalId=self.group(), TargetType="ACCOUNT"),
        )

    def test_an_assignment_is_in_progress_for_some_polls(self):
        id = self.begin(PrincipalId=self.group())
        states = [self.poll(id)["Status"] for _ in range(4)]
        self.assertEqual(states, ["IN_PROGRESS"] * 2 + ["SUCCEEDED"] * 2)
        listed = self.center.list_account_assignments(
            InstanceArn=self.instance,
            AccountId="200000000002",
            PermissionSetArn=self.facts(GOVCLOUD)["permission_set"],
        )
        self.assertEqual(len(listed["AccountAssignments"]), 1)

    def test_an_assignment_that_exists_is_not_made_twice(self):
        group = self.group()
        for _ in range(2):
            id = self.begin(PrincipalId=group)
            self.control("POST", "settle", {})
            self.assertEqual(self.poll(id)["Status"], "SUCCEEDED")
        self.assertEqual(len(self.state(GOVCLOUD)["assignments"]), 1)

    def test_an_assignment_fails_for_a_reason_that_a_test_gives(self):
        self.fault("assignment-fails", reason="Received a 404 status error")
        id = self.begin(PrincipalId=self.group())
        self.control("POST", "settle", {})
        status = self.poll(id)
        self.assertEqual(status["Status"], "FAILED")
        self.assertEqual(status["FailureReason"], "Received a 404 status error")
        self.assertEqual(self.state(GOVCLOUD)["assignments"], [])

    def test_an_assignment_needs_all_that_it_names(self):
        group = self.group()
        create = self.center.create_account_assignment
        sets = self.facts(GOVCLOUD)["permission_set"]
        for changes in [
            {"TargetId": "999999999999", "PrincipalId": group},
            {"PermissionSetArn": f"{sets[:-1]}x", "PrincipalId": group},
            {"PrincipalId": self.user()},
            {"InstanceArn": f"{self.instance[:-1]}-", "PrincipalId": group},
        ]:
            self.refused("ResourceNotFoundException", create, **self.assignment(**changes))

    def test_an_account_that_is_not_active_is_a_conflict(self):
        account = self.account(endpoint="organizations")
        center, facts = self.client("sso"), self.facts()
        group = self.client("identitystore").create_group(
            IdentityStoreId=facts["identity_store"], DisplayName="env-1"
        )["GroupId"]
        asked = self.assignment(
            InstanceArn=facts["instance_arn"],
            PermissionSetArn=facts["permission_set"],
            TargetId=account,
            PrincipalId=group,
        )
        self.refused("ConflictException", center.create_account_assignment, **asked)
        self.client("organizations").describe_account(AccountId=account)
        center.create_account_assignment(**asked)

    def test_lists_of_moto_have_pages_too(self):
        for index in range(3):
            self.user(f"op{index}@example.com")
        self.settings(page_size=2)
        pages = self.store.get_paginator("list_users").paginate(IdentityStoreId=self.store_id)
        self.assertEqual([len(page["Users"]) for page in pages], [2, 1])
        self.assertEqual(len(self.calls("ListUsers")), 2)

    def test_permission_sets_are_listed_and_described(self):
        listed = self.center.list_permission_sets(InstanceArn=self.instance)
        self.assertEqual(listed["PermissionSets"], [self.facts(GOVCLOUD)["permission_set"]])
        described = self.center.describe_permission_set(
            InstanceArn=self.instance, PermissionSetArn=listed["PermissionSets"][0]
        )
        self.assertEqual(described["PermissionSet"]["Name"], "administrator")
