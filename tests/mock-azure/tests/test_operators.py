"""Guests and their roles: Microsoft Graph by azure-core's pipeline, role
assignments by azure-mgmt-authorization."""

import uuid

from azure.core.exceptions import HttpResponseError

from mock_azure import odata

from .support import GROUPS
from .support import OWNER
from .support import MockTest
from .support import json_bytes

MAIL = "a.b@example.mil"


class GraphTest(MockTest):
    def invite(self, mail=MAIL, **more):
        body = {
            "invitedUserEmailAddress": mail,
            "inviteRedirectUrl": "https://portal.azure.us",
            "sendInvitationMessage": True,
        }
        return self.azure.graph.post("/invitations", {**body, **more})

    def find(self, mail=MAIL):
        rule = f"mail eq '{mail}' or otherMails/any(m:m eq '{mail}')"
        return self.azure.graph.get("/users", filter=rule, select="id,mail")["value"]

    def graph_refuses(self, status, code, function, *arguments, **options):
        with self.assertRaises(HttpResponseError) as caught:
            function(*arguments, **options)
        response = caught.exception.response
        self.assertEqual((response.status_code, response.json()["error"]["code"]), (status, code))
        self.assertIn("innerError", response.json()["error"])


class Guests(GraphTest):
    def test_an_invited_guest_is_found(self):
        self.assertEqual(self.find(), [])
        invitation = self.invite()
        self.assertEqual(invitation["status"], "PendingAcceptance")
        self.assertEqual(self.find(), [{"id": invitation["invitedUser"]["id"], "mail": MAIL}])
        user = self.azure.graph.get("/users/" + invitation["invitedUser"]["id"])
        self.assertEqual(user["mail"], MAIL)

    def test_the_link_of_an_invitation_is_a_secret(self):
        self.assertIn(self.invite()["inviteRedeemUrl"], self.state()["secrets"])

    def test_a_second_invitation_makes_no_second_user(self):
        first, second = self.invite(), self.invite(MAIL.upper())
        self.assertEqual(first["invitedUser"], second["invitedUser"])
        self.assertNotEqual(first["inviteRedeemUrl"], second["inviteRedeemUrl"])
        self.assertEqual((len(self.state()["users"]), self.state()["invitations"]), (1, 2))

    def test_a_new_guest_may_be_found_late(self):
        self.set(guest_lag=2)
        self.invite()
        self.assertEqual([len(self.find()) for _ in range(3)], [0, 0, 1])

    def test_users_are_found_by_a_further_address(self):
        self.control.post("users", {"mail": "x@example.mil", "otherMails": [MAIL]})
        self.assertEqual([user["mail"] for user in self.find()], ["x@example.mil"])

    def test_a_quote_in_an_address_is_doubled(self):
        self.invite("o'b@example.mil")
        self.assertEqual(len(self.find("o''b@example.mil")), 1)

    def test_users_come_in_pages(self):
        for number in range(5):
            self.invite(f"u{number}@example.mil")
        page = self.azure.graph.get("/users", top="2", select="mail")
        mails = []
        while True:
            mails += [user["mail"] for user in page["value"]]
            if "@odata.nextLink" not in page:
                break
            page = self.azure.graph.get_link(page["@odata.nextLink"])
        self.assertEqual(mails, [f"u{number}@example.mil" for number in range(5)])
        self.assertEqual(len(self.calls("users.list")), 3)

    def test_what_graph_refuses(self):
        bad = "Request_BadRequest"
        for more in (
            {"invitedUserEmailAddress": "none"},
            {"invitedUserEmailAddress": None},
            {"inviteRedirectUrl": None},
            {"inviteRedirectUrl": "portal"},
            {"sendInvitationMessage": "yes"},
            {"password": "x"},
        ):
            with self.subTest(more=more):
                self.graph_refuses(400, bad, self.invite, **more)
        self.graph_refuses(400, bad, self.azure.graph.get, "/users", filter="mail = 'x'")
        self.graph_refuses(400, bad, self.azure.graph.get, "/users", select="password")
        self.graph_refuses(400, bad, self.azure.graph.get, "/users", top="1000")
        self.graph_refuses(400, bad, self.azure.graph.get, "/groups")
        missing = "/users/00000000-0000-0000-0000-000000000000"
        self.graph_refuses(404, "Request_ResourceNotFound", self.azure.graph.get, missing)
        self.assertEqual(self.state()["users"], [])

    def test_filters(self):
        item = {"mail": "A@x", "otherMails": ["b@x"], "displayName": "Ada"}
        for text, expected in (
            ("mail eq 'a@x'", True),
            ("mail eq 'b@x'", False),
            ("otherMails/any(m:m eq 'b@x')", True),
            ("mail eq 'q' or otherMails/any(x:x eq 'b@x')", True),
            ("mail eq 'a@x' and displayName eq 'Bob'", False),
            ("(mail eq 'q' or mail eq 'a@x') and startswith(displayName,'ad')", True),
            ("mail eq 'q' or mail eq 'a@x' and displayName eq 'Bob'", False),
        ):
            with self.subTest(text=text):
                self.assertEqual(odata.parse(text)(item), expected)
        for text in (
            "mail",
            "mail eq",
            "mail eq 'a",
            "mail ne 'a'",
            "mail eq 'a' x",
            "(mail eq 'a'",
            "mail eq a",
        ):
            with self.subTest(text=text), self.assertRaises(odata.Unsupported):
                odata.parse(text)


class Roles(GraphTest):
    def setUp(self):
        super().setUp()
        self.subscription = self.make_subscription("E1")
        self.scope = f"/subscriptions/{self.subscription}"
        self.definition = f"{self.scope}/providers/Microsoft.Authorization/roleDefinitions/{OWNER}"

    def assign(self, principal, name=None, scope=None, **properties):
        body = {
            "roleDefinitionId": self.definition,
            "principalId": principal,
            "principalType": "User",
        }
        # The path has a slash before the scope, which must not be doubled.
        scope = (scope or self.scope).lstrip("/")
        parameters = {"properties": {**body, **properties}}
        return self.azure.roles.role_assignments.create(
            scope, name or str(uuid.uuid4()), parameters
        )

    def member(self):
        return self.control.post("users", {"mail": "m@example.mil"})["id"]

    def test_a_guest_gets_a_role_after_the_lag(self):
        self.set(principal_lag=2)
        principal = self.invite()["invitedUser"]["id"]
        for _ in range(2):
            self.refused(400, "PrincipalNotFound", self.assign, principal)
        assignment = self.assign(principal)
        self.assertEqual((assignment.principal_id, assignment.scope), (principal, self.scope))
        self.assertEqual(self.calls("roleAssignments.put")[-1]["answer"], 201)

    def test_an_unknown_principal_is_never_found(self):
        for _ in range(3):
            self.refused(400, "PrincipalNotFound", self.assign, str(uuid.uuid4()))

    def test_the_same_name_again_is_the_same_assignment(self):
        principal, name = self.member(), str(uuid.uuid4())
        first, second = self.assign(principal, name), self.assign(principal, name)
        self.assertEqual(first.id, second.id)
        self.assertEqual(self.calls("roleAssignments.put")[-1]["answer"], 200)
        other = self.control.post("users", {"mail": "n@example.mil"})["id"]
        self.refused(400, "RoleAssignmentUpdateNotPermitted", self.assign, other, name)

    def test_another_name_for_the_same_role_is_refused(self):
        principal = self.member()
        self.assign(principal)
        error = self.refused(409, "RoleAssignmentExists", self.assign, principal)
        self.assertEqual(type(error).__name__, "ResourceExistsError")
        reader = self.definition.replace(OWNER, "acdd72a7-3385-48ef-bd42-f606fba81ae7")
        self.assign(principal, roleDefinitionId=reader)
        self.assertEqual(len(self.state()["roleAssignments"]), 2)

    def test_assignments_are_listed_at_their_scope(self):
        self.make_group("p1")
        principal = self.member()
        self.assign(principal)
        at_group = self.assign(principal, scope=GROUPS + "p1")
        self.assertEqual(at_group.scope, GROUPS + "p1")
        self.set(page_size=1)
        listed = self.azure.roles.role_assignments.list_for_scope
        self.assertEqual(len(list(listed(self.scope.lstrip("/")))), 1)
        rule = f"principalId eq '{uuid.uuid4()}'"
        self.assertEqual(list(listed(self.scope.lstrip("/"), filter=rule)), [])
        got = self.azure.roles.role_assignments.get(GROUPS.lstrip("/") + "p1", at_group.name)
        self.assertEqual(got.principal_type, "User")

    def test_what_azure_refuses(self):
        principal = self.member()
        missing = self.definition.replace(OWNER, "00000000-0000-0000-0000-000000000000")
        self.refused(400, "InvalidRoleAssignmentId", self.assign, principal, "x")
        self.refused(
            400, "RoleDefinitionDoesNotExist", self.assign, principal, roleDefinitionId=missing
        )
        self.refused(400, "InvalidPrincipalId", self.assign, "x")
        self.refused(400, "UnmatchedPrincipalType", self.assign, principal, principalType="Group")
        self.refused(400, "InvalidRequestContent", self.assign, principal, principalType="Robot")
        self.refused(400, "InvalidRequestContent", self.assign, principal, principalId=None)
        body = json_bytes(
            {"properties": {"principalId": principal, "roleDefinitionId": "x", "more": 1}}
        )
        create = self.azure.roles.role_assignments.create
        self.refused(400, "InvalidRequestContent", create, self.scope[1:], str(uuid.uuid4()), body)
        other = "/subscriptions/00000000-0000-0000-0000-000000000000"
        self.refused(404, "SubscriptionNotFound", self.assign, principal, scope=other)
        self.assertEqual(self.state()["roleAssignments"], [])
