"""Subscriptions by alias, by azure-mgmt-subscription."""

from azure.core.exceptions import HttpResponseError

from .support import GROUPS
from .support import MockTest

BILLING = "/billingAccounts/1234/enrollmentAccounts/5678"
OTHER_TENANT = "99999999-8888-7777-6666-555555555555"


def request(name="E1", **additional):
    body = {
        "properties": {
            "displayName": name,
            "workload": "Production",
            "billingScope": BILLING,
        }
    }
    if additional:
        body["properties"]["additionalProperties"] = additional
    return body


class Aliases(MockTest):
    def begin(self, alias="a1", body=None, **options):
        body = body or request()
        return self.azure.aliases.alias.begin_create(alias, body, **options)

    def test_a_subscription_is_made_in_its_group_with_its_tags(self):
        self.make_group("p1")
        body = request(managementGroupId=GROUPS + "p1", tags={"hoth-job": "j1"})
        alias = self.begin(body=body).result()
        self.assertEqual(alias.properties.provisioning_state, "Succeeded")
        subscription = self.azure.subscriptions.subscriptions.get(alias.properties.subscription_id)
        self.assertEqual((subscription.display_name, subscription.tags), ("E1", {"hoth-job": "j1"}))
        self.assertEqual(self.state()["subscriptions"][0]["parent"], "p1")

    def test_a_subscription_without_a_group_is_at_the_root(self):
        self.begin().result()
        self.assertEqual(self.state()["subscriptions"][0]["parent"], self.urls["tenant"])

    def test_the_subscription_has_no_id_before_the_end(self):
        self.set_operation("aliases.put", polls=2)
        self.begin(polling=False)
        get = self.azure.aliases.alias.get
        for _ in range(2):
            properties = get("a1").properties
            self.assertEqual(
                (properties.provisioning_state, properties.subscription_id), ("Accepted", None)
            )
            self.assertEqual(self.state()["subscriptions"], [])
        properties = get("a1").properties
        self.assertEqual(properties.provisioning_state, "Succeeded")
        self.assertIsNotNone(properties.subscription_id)

    def test_an_alias_is_the_key_of_its_subscription(self):
        first = self.begin().result().properties.subscription_id
        again = self.begin(body=request("another name")).result().properties
        self.assertEqual((again.subscription_id, again.display_name), (first, "E1"))
        self.assertEqual(len(self.state()["subscriptions"]), 1)

    def test_two_aliases_make_two_subscriptions(self):
        ids = {self.begin(alias).result().properties.subscription_id for alias in ("a1", "a2")}
        self.assertEqual(len(ids), 2)
        listed = self.azure.aliases.alias.list().value
        self.assertEqual([alias.name for alias in listed], ["a1", "a2"])

    def test_an_alias_may_name_an_existing_subscription(self):
        id = self.make_subscription("E0")
        alias = self.begin(body={"properties": {"subscriptionId": id}}).result()
        self.assertEqual(alias.properties.subscription_id, id)
        self.assertEqual(len(self.state()["subscriptions"]), 1)

    def test_a_failed_alias_makes_none_and_can_be_asked_for_again(self):
        self.set_operation("aliases.put", outcome="Failed")
        with self.assertRaises(HttpResponseError):
            self.begin().result()
        self.assertEqual(self.state()["subscriptions"], [])
        self.set_operation("aliases.put", outcome="Succeeded")
        self.assertEqual(self.begin().result().properties.provisioning_state, "Succeeded")

    def test_what_azure_refuses(self):
        for change, status, code in (
            ({"billingScope": "/billingAccounts/1234"}, 400, "InvalidBillingScope"),
            ({"billingScope": None}, 400, "InvalidRequestContent"),
            ({"displayName": None}, 400, "InvalidRequestContent"),
            ({"displayName": "x" * 65}, 400, "InvalidSubscriptionName"),
            ({"workload": "Test"}, 400, "InvalidRequestContent"),
            ({"additionalProperties": {"managementGroupId": GROUPS + "p1"}}, 404, "NotFound"),
            (
                {"subscriptionId": "00000000-0000-0000-0000-000000000000"},
                404,
                "SubscriptionNotFound",
            ),
        ):
            with self.subTest(change=change):
                body = {"properties": {**request()["properties"], **change}}
                self.refused(status, code, self.begin, body=body)
        self.refused(404, "SubscriptionAliasNotFound", self.azure.aliases.alias.get, "a1")
        self.assertEqual(self.state()["aliases"], [])

    def test_each_form_of_a_billing_scope_is_good(self):
        for number, scope in enumerate(
            (
                BILLING,
                "/billingAccounts/1/billingProfiles/2/invoiceSections/3",
                "/billingAccounts/1/customers/2",
                "/providers/Microsoft.Billing" + BILLING,
            )
        ):
            body = {"properties": {**request()["properties"], "billingScope": scope}}
            self.assertEqual(
                self.begin(f"a{number}", body).result().properties.billing_scope, scope
            )

    def test_a_billing_scope_may_not_be_the_clients(self):
        self.set(billing_scopes=["/billingAccounts/1234/enrollmentAccounts/9"])
        self.refused(403, "UserNotAuthorized", self.begin)

    def test_each_form_of_the_operation(self):
        for form, status in (
            ("async-operation", 201),
            ("location", 201),
            ("resource", 201),
            ("resource", 200),
            ("status", 200),
        ):
            for words in ("documented", "upper", "lower"):
                with self.subTest(form=form, status=status, words=words):
                    self.control.post("reset")
                    self.set_operation("aliases.put", form=form, status=status, words=words)
                    properties = self.begin().result().properties
                    self.assertEqual(properties.provisioning_state.lower(), "succeeded")
                    self.assertEqual(len(self.state()["subscriptions"]), 1)

    def test_202_is_none_of_the_models_answers(self):
        self.set_operation("aliases.put", status=202)
        with self.assertRaises(HttpResponseError) as caught:
            self.begin()
        self.assertEqual(caught.exception.status_code, 202)

    def test_another_tenant_must_accept_the_ownership(self):
        self.set(ownership_polls=None)
        alias = self.begin(body=request(subscriptionTenantId=OTHER_TENANT)).result()
        self.assertEqual(alias.properties.accept_ownership_state, "Pending")
        self.assertIn(alias.properties.accept_ownership_url, self.state()["secrets"])
        self.assertEqual(self.state()["subscriptions"], [])
        status = self.azure.aliases.subscription.accept_ownership_status
        id = alias.properties.subscription_id
        self.assertEqual(status(id).accept_ownership_state, "Pending")
        self.control.post("accept-ownership", {"alias": "a1"})
        self.assertEqual(status(id).accept_ownership_state, "Completed")
        again = self.azure.aliases.alias.get("a1").properties
        self.assertEqual(again.accept_ownership_state, "Completed")

    def test_ownership_may_be_accepted_after_some_polls(self):
        self.set(ownership_polls=1)
        self.begin(body=request(subscriptionTenantId=OTHER_TENANT), polling=False)
        states = [self.azure.aliases.alias.get("a1").properties for _ in range(5)]
        self.assertEqual(
            [state.accept_ownership_state for state in states],
            [None, None, "Pending", "Completed", "Completed"],
        )


class Subscriptions(MockTest):
    def test_the_list_has_pages(self):
        self.set(page_size=2)
        names = ["E1", "E2", "E3"]
        for name in names:
            self.make_subscription(name)
        found = list(self.azure.subscriptions.subscriptions.list())
        self.assertEqual([item.display_name for item in found], names)
        self.assertEqual(len(self.calls("subscriptions.list")), 2)

    def test_the_older_client_reads_them_too(self):
        id = self.make_subscription("E1")
        self.assertEqual(self.azure.aliases.subscriptions.get(id).display_name, "E1")
        self.assertEqual(
            [item.subscription_id for item in self.azure.aliases.subscriptions.list()], [id]
        )

    def test_a_missing_one_is_refused(self):
        self.refused(
            404,
            "SubscriptionNotFound",
            self.azure.subscriptions.subscriptions.get,
            "00000000-0000-0000-0000-000000000000",
        )

    def test_tags_are_merged_replaced_and_deleted(self):
        scope = "/subscriptions/" + self.make_subscription("E1", tags={"a": "1"})
        tags = self.azure.resources.tags

        def patch(operation, **given):
            body = {"operation": operation, "properties": {"tags": given}}
            return tags.begin_update_at_scope(scope, body).result().properties.tags

        self.assertEqual(patch("Merge", b="2"), {"a": "1", "b": "2"})
        self.assertEqual(patch("Delete", a="other"), {"a": "1", "b": "2"})
        self.assertEqual(patch("Delete", a="1"), {"b": "2"})
        self.assertEqual(patch("Replace", c="3"), {"c": "3"})
        body = {"properties": {"tags": {"d": "4"}}}
        put = tags.begin_create_or_update_at_scope(scope, body).result()
        self.assertEqual(put.properties.tags, {"d": "4"})
        self.assertEqual(tags.get_at_scope(scope).properties.tags, {"d": "4"})
        self.assertEqual(self.state()["subscriptions"][0]["tags"], {"d": "4"})

    def test_tags_that_azure_refuses(self):
        scope = "/subscriptions/" + self.make_subscription("E1")
        put = self.azure.resources.tags.begin_create_or_update_at_scope
        for given, code in (
            ({f"t{number}": "" for number in range(51)}, "TooManyTags"),
            ({"a/b": "1"}, "InvalidTagName"),
            ({"x" * 513: "1"}, "InvalidTagName"),
            ({"a": "x" * 257}, "InvalidTagValue"),
        ):
            with self.subTest(code=code):
                self.refused(400, code, put, scope, {"properties": {"tags": given}})

    def test_management_groups_have_no_tags(self):
        self.make_group("p1")
        self.refused(400, "InvalidTagsScope", self.azure.resources.tags.get_at_scope, GROUPS + "p1")
