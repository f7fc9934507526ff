"""Management groups, by azure-mgmt-managementgroups."""

import http.client
from urllib.parse import urlsplit

from azure.core.exceptions import HttpResponseError

from .support import GROUPS
from .support import MockTest
from .support import json_bytes

SUCCEEDED = {"upper": "SUCCEEDED", "lower": "succeeded", "swapped": "sUCCEEDED"}


class ManagementGroups(MockTest):
    def test_a_new_group_is_below_the_root(self):
        group = self.make_group("p1")
        self.assertEqual(group.id, GROUPS + "p1")
        self.assertEqual(group.display_name, "P1")
        self.assertEqual(group.details.parent.name, self.urls["tenant"])
        put = self.calls("managementGroups.put")[0]
        self.assertEqual(put["headers"]["cache-control"], "no-cache")

    def test_a_group_without_a_display_name_has_its_name(self):
        group = self.azure.groups.management_groups.begin_create_or_update("p1", {}).result()
        self.assertEqual(group.display_name, "p1")

    def test_a_group_is_not_seen_before_its_operation_ends(self):
        self.set_operation("managementGroups.put", polls=3)
        poller = self.azure.groups.management_groups.begin_create_or_update(
            "p1", {"properties": {"displayName": "P1"}}, polling=False
        )
        self.assertIsNotNone(poller)
        self.refused(404, "NotFound", self.azure.groups.management_groups.get, "p1")
        self.assertNotIn("p1", [group.name for group in self.azure.groups.management_groups.list()])

    def test_a_second_put_answers_with_the_same_operation(self):
        self.set_operation("managementGroups.put", polls=1)
        begin = self.azure.groups.management_groups.begin_create_or_update
        links = set()
        for _ in range(2):
            begin("p1", {}, polling=False, raw_response_hook=lambda found: links.add(link(found)))
        self.assertEqual(len(links), 1)
        self.assertEqual(self.make_group("p1").name, "p1")
        self.assertEqual(len(self.state()["managementGroups"]), 2)

    def test_a_put_of_an_existing_group_changes_it_at_once(self):
        self.make_group("p1")
        self.make_group("p2")
        same = self.make_group("p1")
        self.assertEqual(same.details.version, 1)
        moved = self.make_group("p1", parent="p2")
        self.assertEqual((moved.details.version, moved.details.parent.name), (2, "p2"))
        self.assertEqual(self.calls("managementGroups.put")[-1]["answer"], 200)

    def test_children_are_expanded_in_one_level_or_all(self):
        self.make_group("p1")
        self.make_group("p2", parent="p1")
        self.make_group("p3", parent="p2")
        self.make_subscription("E1", "p1")
        get = self.azure.groups.management_groups.get
        self.assertIsNone(get("p1").children)
        children = get("p1", expand="children").children
        self.assertEqual(
            [child.type for child in children],
            ["Microsoft.Management/managementGroups", "/subscriptions"],
        )
        self.assertIsNone(children[0].children)
        below = get("p1", expand="children", recurse=True).children[0].children
        self.assertEqual([child.name for child in below], ["p3"])
        self.refused(400, "BadRequest", get, "p1", recurse=True)

    def test_the_line_to_the_root_is_expanded(self):
        self.make_group("p1")
        self.make_group("p2", parent="p1")
        path = self.azure.groups.management_groups.get("p2", expand="path").details.path
        self.assertEqual([step.name for step in path], [self.urls["tenant"], "p1"])
        ancestors = self.azure.groups.management_groups.get("p2", expand="ancestors").details
        self.assertEqual(ancestors.management_group_ancestors, [self.urls["tenant"], "p1"])

    def test_the_list_has_pages(self):
        self.set(page_size=2)
        for name in ("p1", "p2", "p3"):
            self.make_group(name)
        names = [group.name for group in self.azure.groups.management_groups.list()]
        self.assertEqual(names, [self.urls["tenant"], "p1", "p2", "p3"])
        self.assertEqual(len(self.calls("managementGroups.list")), 2)

    def test_names_match_in_any_case(self):
        self.make_group("p1")
        self.assertEqual(self.azure.groups.management_groups.get("P1").name, "p1")

    def test_what_azure_refuses(self):
        put = self.azure.groups.management_groups.begin_create_or_update
        self.refused(404, "NotFound", self.make_group, "p1", parent="missing")
        self.refused(400, "BadRequest", put, "a b", {})
        self.refused(400, "BadRequest", put, "p1", {"name": "p2"})
        details = {"parent": {"id": "/subscriptions/x"}}
        self.refused(400, "BadRequest", put, "p1", {"properties": {"details": details}})
        self.assertEqual(len(self.state()["managementGroups"]), 1)

    def test_bodies_are_held_to_the_model(self):
        put = self.azure.groups.management_groups.begin_create_or_update
        for body in (
            {"displayName": "P1"},
            {"properties": {"tags": {}}},
            {"properties": {"displayName": 1}},
            {"properties": {"tenantId": "read-only"}},
            {"properties": []},
        ):
            with self.subTest(body=body):
                self.refused(400, "InvalidRequestContent", put, "p1", json_bytes(body))

    def test_groups_nest_six_levels_deep(self):
        parent = None
        for level in range(6):
            self.make_group(f"g{level}", parent)
            parent = f"g{level}"
        self.refused(400, "BadRequest", self.make_group, "g6", parent)

    def test_a_group_cannot_be_below_itself(self):
        self.make_group("p1")
        self.make_group("p2", parent="p1")
        self.refused(400, "BadRequest", self.make_group, "p1", parent="p2")


class Members(MockTest):
    def test_a_subscription_moves_into_a_group(self):
        self.make_group("p1")
        id = self.make_subscription("E1")
        members = self.azure.groups.management_group_subscriptions
        member = members.create("p1", id)
        self.assertEqual((member.display_name, member.state), ("E1", "Active"))
        self.assertEqual(member.parent.id, GROUPS + "p1")
        put = self.calls("managementGroupSubscriptions.put")[0]
        self.assertEqual((put["body"], put["headers"]["content-length"]), ("", "0"))
        self.assertEqual(members.get_subscription("p1", id).name, id)
        found = members.get_subscriptions_under_management_group("p1")
        self.assertEqual([item.name for item in found], [id])
        self.refused(404, "NotFound", members.get_subscription, self.urls["tenant"], id)

    def test_missing_ones_are_refused(self):
        self.make_group("p1")
        id = self.make_subscription("E1")
        create = self.azure.groups.management_group_subscriptions.create
        self.refused(
            404, "SubscriptionNotFound", create, "p1", "00000000-0000-0000-0000-000000000000"
        )
        self.refused(404, "NotFound", create, "p2", id)

    def test_the_association_needs_an_empty_body_and_its_length(self):
        self.make_group("p1")
        path = f"{GROUPS}p1/subscriptions/{self.make_subscription('E1')}?api-version=2023-04-01"
        token = self.azure.credential.get_token("https://management.azure.com/.default").token
        for body, length, status in ((None, None, 411), ("{}", "2", 400), ("", "0", 200)):
            with self.subTest(body=body):
                connection = http.client.HTTPConnection(urlsplit(self.urls["arm"]).netloc)
                connection.putrequest("PUT", path)
                connection.putheader("Authorization", f"Bearer {token}")
                if length is not None:
                    connection.putheader("Content-Length", length)
                connection.endheaders(body.encode() if body else None)
                self.assertEqual(connection.getresponse().status, status)
                connection.close()


class Forms(MockTest):
    """Each form of a long-running operation, by the SDK's poller."""

    def make(self, form, **rules):
        self.set_operation("managementGroups.put", form=form, **rules)
        return self.make_group("p1")

    def test_azure_async_operation(self):
        self.assertEqual(self.make("async-operation", polls=2).display_name, "P1")
        self.assertEqual(len(self.calls("operationStatuses.get")), 3)
        self.assertEqual(len(self.calls("managementGroups.get")), 1)

    def test_location(self):
        self.assertEqual(self.make("location", polls=2).display_name, "P1")
        self.assertEqual(len(self.calls("operationResults.get")), 3)
        self.assertEqual(self.calls("managementGroups.get"), [])

    def test_resource(self):
        self.assertEqual(self.make("resource", polls=2, status=200).display_name, "P1")
        self.assertEqual(len(self.calls("managementGroups.get")), 3)

    def test_status(self):
        self.assertEqual(self.make("status").display_name, "P1")
        self.assertEqual(
            [call["operation"] for call in self.calls() if call["service"] == "arm"],
            ["managementGroups.put"],
        )

    def test_words_come_in_any_case(self):
        for form in ("async-operation", "resource"):
            for words in ("upper", "lower", "swapped"):
                with self.subTest(form=form, words=words):
                    self.control.post("reset")
                    self.assertEqual(self.make(form, words=words).display_name, "P1")
                    if form == "resource":
                        state = self.azure.groups.management_groups.get("p1").properties
                        self.assertEqual(state["provisioningState"], SUCCEEDED[words])

    def test_an_operation_fails(self):
        error = {"code": "QuotaExceeded", "message": "Too many groups."}
        for form in ("async-operation", "location", "resource", "status"):
            for outcome in ("Failed", "Canceled", error):
                with self.subTest(form=form, outcome=outcome):
                    self.control.post("reset")
                    with self.assertRaises(HttpResponseError) as caught:
                        self.make(form, outcome=outcome)
                    if outcome == error and form != "resource":
                        self.assertIn("QuotaExceeded", str(caught.exception))

    def test_a_group_can_be_made_after_a_failure(self):
        with self.assertRaises(HttpResponseError):
            self.make("async-operation", outcome="Failed")
        self.assertEqual(self.make("async-operation", outcome="Succeeded").display_name, "P1")

    def test_retry_after_is_sent_until_the_end(self):
        self.make("async-operation", polls=1, retry_after_s=0)
        self.assertEqual(len(self.calls("operationStatuses.get")), 2)


def link(response):
    return response.http_response.headers["Azure-AsyncOperation"]
