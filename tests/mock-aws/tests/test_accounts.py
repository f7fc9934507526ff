"""Creation of accounts, which takes time and can fail."""

from .support import GOVCLOUD, Case


class Accounts(Case):
    """The calls of ADD_ENVIRONMENT in the commercial partition."""

    def setUp(self):
        """Makes a client."""
        super().setUp()
        self.organizations = self.client("organizations")

    def create(self, name="E1", **parameters):
        """Returns the id of a creation."""
        parameters.setdefault("Email", f"{name.lower()}@example.com")
        made = self.organizations.create_account(AccountName=name, **parameters)
        self.assertEqual(made["CreateAccountStatus"]["State"], "IN_PROGRESS")
        return made["CreateAccountStatus"]["Id"]

    def poll(self, id):
        """Returns the status of a creation."""
        answer = self.organizations.describe_create_account_status(CreateAccountRequestId=id)
        return answer["CreateAccountStatus"]

    def test_a_creation_is_in_progress_for_some_polls(self):
        self.settings(creation_polls=3)
        id = self.create(Tags=[{"Key": "hoth-job", "Value": "j1"}])
        states = [self.poll(id)["State"] for _ in range(5)]
        self.assertEqual(states, ["IN_PROGRESS"] * 3 + ["SUCCEEDED"] * 2)
        status = self.poll(id)
        self.assertNotIn("GovCloudAccountId", status)
        [_, made] = self.state()["accounts"]
        self.assertEqual(made["id"], status["AccountId"])
        self.assertEqual(made["parent"], self.facts()["root"])
        self.assertEqual(made["tags"], {"hoth-job": "j1"})

    def test_an_account_appears_only_when_its_creation_succeeded(self):
        id = self.create()
        self.assertEqual(len(self.organizations.list_accounts()["Accounts"]), 1)
        running = self.organizations.list_create_account_status(States=["IN_PROGRESS"])
        [running] = running["CreateAccountStatuses"]
        self.assertEqual((running["Id"], running["AccountName"]), (id, "E1"))
        self.created(self.organizations, id)
        emails = [listed["Email"] for listed in self.organizations.list_accounts()["Accounts"]]
        self.assertIn("e1@example.com", emails)

    def test_an_account_is_pending_until_it_is_active(self):
        self.settings(activation_polls=2)
        id = self.account()
        describe = self.organizations.describe_account
        states = [describe(AccountId=id)["Account"]["State"] for _ in range(3)]
        self.assertEqual(states, ["PENDING_ACTIVATION", "PENDING_ACTIVATION", "ACTIVE"])
        self.refused("AccountNotFoundException", describe, AccountId="999999999999")

    def test_a_used_email_lets_a_creation_fail(self):
        self.account()
        emails = ["E1@example.com", "management@example.com", "management-gov@example.com"]
        for email in emails:
            status = self.created(self.organizations, self.create("E2", Email=email))
            self.assertEqual(status["State"], "FAILED")
            self.assertEqual(status["FailureReason"], "EMAIL_ALREADY_EXISTS")
            self.assertNotIn("AccountId", status)
        self.assertEqual(len(self.state()["accounts"]), 2)

    def test_an_email_of_a_creation_in_progress_is_used(self):
        first, second = self.create("E1"), self.create("E2", Email="e1@example.com")
        self.assertEqual(self.created(self.organizations, second)["State"], "FAILED")
        self.assertEqual(self.created(self.organizations, first)["State"], "SUCCEEDED")

    def test_a_sixth_creation_at_a_time_is_refused(self):
        ids = [self.create(f"E{index}") for index in range(5)]
        sixth = {"AccountName": "E5", "Email": "e5@example.com"}
        answer = self.refused(
            "ConstraintViolationException", self.organizations.create_account, **sixth
        )
        self.assertEqual(answer["Reason"], "ACCOUNT_CREATION_RATE_LIMIT_EXCEEDED")
        self.created(self.organizations, ids[0])
        self.organizations.create_account(**sixth)

    def test_a_creation_fails_for_a_reason_that_a_test_gives(self):
        self.fault("creation-fails", "CreateAccount", reason="PENDING_BUSINESS_VALIDATION")
        status = self.created(self.organizations, self.create())
        self.assertEqual(status["FailureReason"], "PENDING_BUSINESS_VALIDATION")
        self.assertIsNotNone(self.account("E2"))

    def test_names_and_emails_are_held_to_the_model(self):
        for name, email, reason in [
            ("n" * 51, "a@example.com", "MAX_LENGTH_EXCEEDED"),
            ("Umwelt é", "a@example.com", "INVALID_PATTERN"),
            ("E1", "a" * 55 + "@example.com", "MAX_LENGTH_EXCEEDED"),
            ("E1", "no address", "INVALID_PATTERN"),
        ]:
            answer = self.refused(
                "InvalidInputException",
                self.organizations.create_account,
                AccountName=name,
                Email=email,
            )
            self.assertEqual(answer["Reason"], reason)

    def test_an_unknown_creation_is_refused(self):
        self.refused(
            "CreateAccountStatusNotFoundException",
            self.organizations.describe_create_account_status,
            CreateAccountRequestId="car-12345678",
        )

    def test_settle_ends_all_that_is_in_progress(self):
        id = self.create()
        self.control("POST", "settle", {})
        self.assertEqual(self.poll(id)["State"], "SUCCEEDED")
        self.assertEqual(self.state()["accounts"][1]["state"], "ACTIVE")


class GovCloud(Case):
    """The calls of ADD_ENVIRONMENT in GovCloud."""

    def setUp(self):
        """Makes clients for both partitions."""
        super().setUp()
        self.commercial = self.client("organizations")
        self.gov = self.client("organizations-gov")

    def pair(self, name="E1", **parameters):
        """Returns the status of a new pair of accounts."""
        email = f"{name.lower()}@example.com"
        made = self.commercial.create_gov_cloud_account(AccountName=name, Email=email, **parameters)
        return self.created(self.commercial, made["CreateAccountStatus"]["Id"])

    def invite(self, account, **parameters):
        """Returns the handshake of an invitation."""
        target = {"Id": account, "Type": "ACCOUNT"}
        answer = self.gov.invite_account_to_organization(Target=target, **parameters)
        return answer["Handshake"]

    def member(self, account, role="OrganizationAccountAccessRole"):
        """Returns a client with the keys of the role in an account."""
        arn = f"arn:aws-us-gov:iam::{account}:role/{role}"
        return self.client("organizations-gov", self.role(arn))

    def test_the_pair_joins_by_a_handshake_of_the_assumed_role(self):
        status = self.pair(Tags=[{"Key": "hoth-job", "Value": "j1"}])
        commercial, gov = status["AccountId"], status["GovCloudAccountId"]
        self.assertNotEqual(commercial, gov)
        self.assertEqual(self.state()["accounts"][1]["id"], commercial)
        self.assertEqual(self.state()["accounts"][1]["tags"], {"hoth-job": "j1"})
        self.assertEqual(len(self.state(GOVCLOUD)["accounts"]), 1)

        handshake = self.invite(gov, Notes="job j1")
        self.assertEqual((handshake["State"], handshake["Action"]), ("OPEN", "INVITE"))
        sent = self.gov.list_handshakes_for_organization(Filter={"ActionType": "INVITE"})
        self.assertEqual([sent["Id"] for sent in sent["Handshakes"]], [handshake["Id"]])

        member = self.member(gov)
        got = member.list_handshakes_for_account()["Handshakes"]
        self.assertEqual([got["Id"] for got in got], [handshake["Id"]])
        accepted = member.accept_handshake(HandshakeId=handshake["Id"])["Handshake"]
        self.assertEqual(accepted["State"], "ACCEPTED")
        described = self.gov.describe_handshake(HandshakeId=handshake["Id"])["Handshake"]
        self.assertEqual(described, accepted)
        joined = self.gov.describe_account(AccountId=gov)["Account"]
        self.assertEqual(joined["JoinedMethod"], "INVITED")
        self.assertEqual((joined["Name"], joined["State"]), ("E1", "ACTIVE"))

        root = self.facts(GOVCLOUD)["root"]
        unit = self.gov.create_organizational_unit(ParentId=root, Name="P1")
        unit = unit["OrganizationalUnit"]["Id"]
        self.gov.move_account(AccountId=gov, SourceParentId=root, DestinationParentId=unit)
        self.gov.tag_resource(ResourceId=gov, Tags=[{"Key": "a", "Value": "b"}])
        account = self.state(GOVCLOUD)["accounts"][1]
        self.assertEqual((account["parent"], account["tags"]), (unit, {"a": "b"}))

        [call] = self.calls("AcceptHandshake")
        self.assertEqual(call["account"], gov)
        self.assertIn("assumed-role/OrganizationAccountAccessRole/hoth", call["caller"])

    def test_only_the_role_of_the_invited_account_accepts(self):
        first, second = (self.pair(name)["GovCloudAccountId"] for name in ["E1", "E2"])
        handshake = self.invite(first)["Id"]
        for client in [self.gov, self.member(second)]:
            self.refused("AccessDeniedException", client.accept_handshake, HandshakeId=handshake)
        self.member(first).accept_handshake(HandshakeId=handshake)

    def test_an_accepted_handshake_cannot_be_accepted_or_canceled_again(self):
        gov = self.pair()["GovCloudAccountId"]
        handshake = self.invite(gov)["Id"]
        member = self.member(gov)
        member.accept_handshake(HandshakeId=handshake)
        self.refused(
            "HandshakeAlreadyInStateException", member.accept_handshake, HandshakeId=handshake
        )
        self.refused(
            "InvalidHandshakeTransitionException",
            self.gov.cancel_handshake,
            HandshakeId=handshake,
        )
        answer = self.refused(
            "HandshakeConstraintViolationException",
            self.gov.invite_account_to_organization,
            Target={"Id": gov, "Type": "ACCOUNT"},
        )
        self.assertEqual(answer["Reason"], "ALREADY_IN_AN_ORGANIZATION")

    def test_a_second_open_invitation_is_refused(self):
        gov = self.pair()["GovCloudAccountId"]
        first = self.invite(gov)["Id"]
        self.refused(
            "DuplicateHandshakeException",
            self.gov.invite_account_to_organization,
            Target={"Id": gov, "Type": "ACCOUNT"},
        )
        self.gov.cancel_handshake(HandshakeId=first)
        second = self.invite(gov)["Id"]
        self.member(gov).decline_handshake(HandshakeId=second)
        states = [shake["state"] for shake in self.control("GET", "state")["handshakes"]]
        self.assertEqual(states, ["CANCELED", "DECLINED"])

    def test_invitations_have_a_limit_for_each_day(self):
        self.settings(invitations_max=1)
        first, second = (self.pair(name)["GovCloudAccountId"] for name in ["E1", "E2"])
        self.invite(first)
        answer = self.refused(
            "HandshakeConstraintViolationException",
            self.gov.invite_account_to_organization,
            Target={"Id": second, "Type": "ACCOUNT"},
        )
        self.assertEqual(answer["Reason"], "HANDSHAKE_RATE_LIMIT_EXCEEDED")

    def test_unknown_accounts_and_handshakes_are_refused(self):
        self.refused(
            "InvalidInputException",
            self.gov.invite_account_to_organization,
            Target={"Id": "999999999999", "Type": "ACCOUNT"},
        )
        self.refused(
            "HandshakeNotFoundException", self.gov.describe_handshake, HandshakeId="h-12345678"
        )

    def test_a_pair_is_made_in_the_commercial_partition_only(self):
        self.refused(
            "UnsupportedAPIEndpointException",
            self.gov.create_gov_cloud_account,
            AccountName="E1",
            Email="e1@example.com",
        )

    def test_a_member_can_do_nothing_else(self):
        member = self.member(self.pair()["GovCloudAccountId"])
        self.refused("AccessDeniedException", member.list_accounts)

    def test_a_role_has_the_name_that_the_creation_gave(self):
        gov = self.pair(RoleName="Access")["GovCloudAccountId"]
        self.member(gov, "Access")
        sts = self.client("sts-gov")
        for arn in [
            f"arn:aws-us-gov:iam::{gov}:role/OrganizationAccountAccessRole",
            "arn:aws-us-gov:iam::999999999999:role/OrganizationAccountAccessRole",
        ]:
            answer = self.refused(
                "AccessDenied", sts.assume_role, RoleArn=arn, RoleSessionName="hoth"
            )
            self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 403)


class Sts(Case):
    """Temporary keys."""

    def test_a_role_of_the_management_account_has_its_rights(self):
        management, identity = self.facts(GOVCLOUD)["roles"]
        client = self.client("organizations-gov", self.role(management))
        client.list_roots()
        client = self.client("sso-gov", self.role(identity))
        client.list_instances()
        self.refused("AccessDenied", self.role, arn=f"{identity}-other")

    def test_a_web_identity_gets_keys_without_a_signature(self):
        sts = self.client("sts-gov")
        asked = {
            "RoleArn": self.facts(GOVCLOUD)["roles"][0],
            "RoleSessionName": "hoth",
            "WebIdentityToken": self.document["web_identity_token"],
        }
        made = sts.assume_role_with_web_identity(**asked)["Credentials"]
        key = {
            "access_key_id": made["AccessKeyId"],
            "secret_access_key": made["SecretAccessKey"],
            "session_token": made["SessionToken"],
        }
        self.client("organizations-gov", key).list_roots()
        self.refused(
            "InvalidIdentityToken",
            sts.assume_role_with_web_identity,
            **{**asked, "WebIdentityToken": "wrong"},
        )
        self.refused(
            "AccessDenied",
            sts.assume_role_with_web_identity,
            **{**asked, "RoleArn": f"{asked['RoleArn']}-other"},
        )

    def test_the_caller_learns_who_it_is(self):
        answer = self.client("sts-gov").get_caller_identity()
        self.assertEqual(answer["Account"], "200000000002")
        self.assertEqual(answer["Arn"], "arn:aws-us-gov:iam::200000000002:user/management")

    def test_parameters_are_held_to_the_model(self):
        sts = self.client("sts")
        arn = self.facts()["roles"][0]
        for parameters in [
            {"RoleArn": arn, "RoleSessionName": "a b"},
            {"RoleArn": arn, "RoleSessionName": "a", "DurationSeconds": 899},
            {"RoleArn": arn, "RoleSessionName": "a", "DurationSeconds": 43201},
            {"RoleArn": "arn:aws-us-gov:iam::1:role/a", "RoleSessionName": "a"},
            {"RoleArn": arn},
        ]:
            self.refused("ValidationError", sts.assume_role, **parameters)
