"""Faults, versions of the API and records, by the SDK."""

import http.client
import json
import threading
import urllib.request
from urllib.parse import urlsplit

from azure.core.exceptions import ClientAuthenticationError
from azure.core.exceptions import HttpResponseError
from azure.core.exceptions import ServiceRequestError
from azure.core.exceptions import ServiceResponseError

from mock_azure.faults import HOLD_MAX_S
from mock_azure.faults import KINDS
from sdk import ARM_SCOPE
from sdk import Azure

from .support import GROUPS
from .support import MockTest
from .support import eventually


class Faults(MockTest):
    def test_errors_of_arm(self):
        for kind, status, code in (
            ("throttle-429", 429, "TooManyRequests"),
            ("500", 500, "InternalServerError"),
            ("503", 503, "ServiceUnavailable"),
            ("409", 409, "Conflict"),
            ("access-denied", 403, "AuthorizationFailed"),
        ):
            with self.subTest(kind=kind):
                self.fault("managementGroups.put", kind)
                self.refused(status, code, self.make_group, "p1")
                self.assertEqual(self.calls()[-1]["fault"], kind)
        self.assertEqual(len(self.state()["managementGroups"]), 1)
        self.make_group("p1")

    def test_errors_of_graph(self):
        for kind, status, code in (
            ("throttle-429", 429, "TooManyRequests"),
            ("500", 500, "InternalServerError"),
            ("access-denied", 403, "Authorization_RequestDenied"),
        ):
            with self.subTest(kind=kind), self.assertRaises(HttpResponseError) as caught:
                self.fault("users.list", kind)
                self.azure.graph.get("/users")
            response = caught.exception.response
            self.assertEqual(
                (response.status_code, response.json()["error"]["code"]), (status, code)
            )

    def test_errors_of_entra(self):
        for kind, error in (
            ("throttle-429", "AADSTS90055"),
            ("503", "503"),
            ("access-denied", "AADSTS65004"),
        ):
            with self.subTest(kind=kind), self.assertRaisesRegex(ClientAuthenticationError, error):
                self.fault("token.post", kind)
                self.azure.secret_credential(retry_total=0).get_token(ARM_SCOPE)

    def test_an_error_of_choice(self):
        self.fault(
            "aliases.put",
            "error",
            status=403,
            code="UserNotAuthorized",
            message="No role.",
            headers={"x-test": "1"},
        )
        body = {"properties": {}}
        error = self.refused(
            403, "UserNotAuthorized", self.azure.aliases.alias.begin_create, "a1", body
        )
        self.assertEqual(error.response.headers["x-test"], "1")

    def test_the_sdk_gets_through_throttles(self):
        self.fault(
            "managementGroups.get",
            "throttle-429",
            times=2,
            headers={"x-ms-retry-after-ms": "1"},
            retry_after_s=None,
        )
        self.make_group_without_fault("p1")
        azure = Azure(self.urls, retry_total=3)
        self.assertEqual(azure.groups.management_groups.get("p1").name, "p1")
        answers = [call["answer"] for call in self.calls("managementGroups.get")]
        self.assertEqual(answers, [429, 429, 200])

    def make_group_without_fault(self, name):
        self.set_operation("managementGroups.put", form="status")
        self.make_group(name)

    def test_faults_skip_and_count(self):
        self.fault("subscriptions.list", "503", skip=1, times=2)
        found = []
        for _ in range(4):
            try:
                list(self.azure.subscriptions.subscriptions.list())
                found.append(200)
            except HttpResponseError as error:
                found.append(error.status_code)
        self.assertEqual(found, [200, 503, 503, 200])

    def test_a_fault_may_be_of_any_operation(self):
        self.azure.credential.get_token(ARM_SCOPE)
        self.fault("*", "503")
        self.refused(503, "ServiceUnavailable", self.make_group, "p1")

    def test_a_token_expires_and_stays_so(self):
        self.azure.credential.get_token(ARM_SCOPE)
        self.fault("managementGroups.put", "expired-token")
        error = self.refused(401, "ExpiredAuthenticationToken", self.make_group, "p1")
        self.assertIn("invalid_token", error.response.headers["WWW-Authenticate"])
        # azure-identity keeps the token that it has; a client that asks for
        # another goes on.
        self.refused(401, "ExpiredAuthenticationToken", self.make_group, "p1")
        self.azure = Azure(self.urls, retry_total=0)
        self.make_group("p1")

    def test_a_connection_drops_before_or_after_the_effect(self):
        self.set_operation("managementGroups.put", form="status")
        for kind, groups in (("drop-before", 1), ("drop-after", 2)):
            with self.subTest(kind=kind):
                self.fault("managementGroups.put", kind)
                with self.assertRaises((ServiceRequestError, ServiceResponseError)):
                    self.make_group("p1")
                self.assertEqual(len(self.state()["managementGroups"]), groups)
                self.assertEqual(self.calls("managementGroups.put")[-1]["answer"], "dropped")

    def test_a_refusal_is_dropped_as_well(self):
        self.fault("managementGroups.get", "drop-after")
        with self.assertRaises((ServiceRequestError, ServiceResponseError)):
            self.azure.groups.management_groups.get("unknown")
        self.assertEqual(self.calls("managementGroups.get")[-1]["answer"], "dropped")

    def test_an_error_may_come_after_the_effect(self):
        self.set_operation("managementGroups.put", form="status")
        self.fault("managementGroups.put", "500", effect=True)
        self.refused(500, "InternalServerError", self.make_group, "p1")
        self.assertEqual(len(self.state()["managementGroups"]), 2)

    def test_an_answer_may_be_no_json(self):
        self.make_group("p1")
        self.fault("managementGroups.get", "malformed")
        with self.assertRaises(json.JSONDecodeError):
            self.azure.groups.management_groups.get("p1")
        self.assertEqual(self.calls("managementGroups.get")[-1]["answer"], 200)

    def test_a_slow_answer_waits_for_its_release_or_a_reset(self):
        self.azure.credential.get_token(ARM_SCOPE)
        for end in ("release", "reset"):
            with self.subTest(end=end):
                self.set_operation("managementGroups.put", form="status")
                self.fault("managementGroups.put", "slow")
                thread = threading.Thread(target=self.make_group, args=["p1"])
                thread.start()
                # Other calls go on while one is held.
                eventually(lambda: any(call.get("fault") == "slow" for call in self.calls()))
                self.assertEqual(list(self.azure.subscriptions.subscriptions.list()), [])
                self.assertTrue(thread.is_alive())
                self.control.post(end)
                # Half of the time for which an answer is held at most.
                thread.join(HOLD_MAX_S / 2)
                self.assertFalse(thread.is_alive())

    def test_a_held_connection_is_dropped_on_release_or_by_a_reset(self):
        self.azure.credential.get_token(ARM_SCOPE)
        for kind, end, groups in (("drop-before", "release", 1), ("drop-after", "reset", 2)):
            with self.subTest(kind=kind):
                self.set_operation("managementGroups.put", form="status")
                self.fault("managementGroups.put", kind, held=True)
                dropped = []
                thread = threading.Thread(target=lambda: dropped.append(self.is_dropped("p1")))
                thread.start()
                # Other calls go on while one is held.
                eventually(lambda: any(call.get("held") for call in self.calls()))
                self.assertEqual(list(self.azure.subscriptions.subscriptions.list()), [])
                self.assertEqual(len(self.state()["managementGroups"]), groups)
                self.assertTrue(thread.is_alive())
                self.control.post(end)
                thread.join(HOLD_MAX_S / 2)
                self.assertEqual(dropped, [True])

    def is_dropped(self, group):
        """Makes a group. Returns true if the connection closes without an answer."""
        try:
            self.make_group(group)
        except (ServiceRequestError, ServiceResponseError):
            return True
        return False

    def test_faults_that_are_none(self):
        for fault in ({"operation": "x", "kind": "none"}, {"kind": "500"}):
            with self.assertRaises(ValueError):
                self.control.post("faults", fault)
        self.assertIn("drop-after", KINDS)


class Versions(MockTest):
    def test_every_call_needs_a_version(self):
        token = self.azure.credential.get_token(ARM_SCOPE).token
        for query, code in (
            ("", "MissingApiVersionParameter"),
            ("?api-version=", "MissingApiVersionParameter"),
            ("?api-version=2020-01-01", "NoRegisteredProviderFound"),
        ):
            for path in ("/providers/Microsoft.Management/managementGroups", GROUPS + "p1"):
                connection = http.client.HTTPConnection(urlsplit(self.urls["arm"]).netloc)
                connection.request(
                    "GET", path + query, headers={"Authorization": f"Bearer {token}"}
                )
                response = connection.getresponse()
                error = json.load(response)["error"]
                self.assertEqual((response.status, error["code"]), (400, code))
                connection.close()

    def test_versions_that_the_clients_do_not_have_are_refused(self):
        newer = self.azure.client(type(self.azure.groups), api_version="2029-01-01")
        self.refused(400, "NoRegisteredProviderFound", newer.management_groups.get, "p1")

    def test_unknown_paths_are_refused(self):
        token = self.azure.credential.get_token(ARM_SCOPE).token
        connection = http.client.HTTPConnection(urlsplit(self.urls["arm"]).netloc)
        path = "/providers/Microsoft.Billing/billingAccounts?api-version=2024-04-01"
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        self.assertEqual(
            (response.status, json.load(response)["error"]["code"]), (404, "InvalidResourceType")
        )
        connection.close()


class ControlApi(MockTest):
    def test_calls_are_recorded_in_order_without_secrets(self):
        self.make_group("p1")
        calls = self.calls()
        self.assertEqual(
            [call["operation"] for call in calls],
            [
                "openidConfiguration.get",
                "token.post",
                "managementGroups.put",
                "operationStatuses.get",
                "operationStatuses.get",
                "managementGroups.get",
            ],
        )
        put = calls[2]
        self.assertEqual((put["method"], put["path"]), ("PUT", GROUPS + "p1"))
        self.assertEqual(put["query"], [["api-version", "2023-04-01"]])
        self.assertEqual(put["body"], {"properties": {"displayName": "P1"}})
        self.assertEqual(put["headers"]["authorization"], "<secret>")
        self.assertEqual(put["credential"]["audience"], "arm")
        self.assertEqual(put["answer"], 202)
        text = json.dumps(calls)
        for secret in self.state()["secrets"]:
            self.assertNotIn(secret, text)

    def test_a_reset_empties_everything(self):
        self.make_group("p1")
        self.set(principal_lag=9)
        self.control.post("reset")
        self.assertEqual(self.calls(), [])
        self.assertEqual(len(self.state()["managementGroups"]), 1)
        self.assertEqual(self.control.get("settings")["principal_lag"], 1)

    def test_settings_that_do_not_exist_are_refused_whole(self):
        for settings in (
            {"principal_lag": 5, "nonsense": 1},
            {"principal_lag": 5, "operations": {"aliases.put": {"form": "guess"}}},
            {"principal_lag": 5, "operations": {"aliases.get": {}}},
        ):
            with self.assertRaises(ValueError):
                self.control.post("settings", settings)
            self.assertEqual(self.control.get("settings")["principal_lag"], 1)

    def test_unknown_paths_are_refused(self):
        with self.assertRaises(ValueError):
            self.control.get("nonsense")

    def test_operations_end_on_request(self):
        self.set_operation("managementGroups.put", polls=1000)
        self.set_operation("aliases.put", polls=1000)
        self.azure.groups.management_groups.begin_create_or_update("p1", {}, polling=False)
        scope = "/billingAccounts/1/enrollmentAccounts/2"
        properties = {"displayName": "E1", "workload": "Production", "billingScope": scope}
        create = self.azure.aliases.alias.begin_create
        create("a1", {"properties": properties}, polling=False)
        self.control.post("settle")
        self.assertEqual(len(self.state()["managementGroups"]), 2)
        self.assertEqual(len(self.state()["subscriptions"]), 1)

    def test_tokens_expire_on_request(self):
        self.make_group("p1")
        self.control.post("expire")
        get = self.azure.groups.management_groups.get
        self.refused(401, "ExpiredAuthenticationToken", get, "p1")
        self.azure = Azure(self.urls, retry_total=0)
        self.assertEqual(self.azure.groups.management_groups.get("p1").name, "p1")

    def test_ids_are_the_same_for_the_same_work(self):
        first = self.make_subscription("E1")
        self.control.post("reset")
        self.assertEqual(self.make_subscription("E1"), first)

    def test_the_services_say_where_they_are(self):
        with urllib.request.urlopen(self.urls["control"] + "/control/facts") as response:
            self.assertEqual(json.load(response), self.urls)
