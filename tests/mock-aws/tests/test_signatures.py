"""Signatures, keys and rights."""

from datetime import datetime, timedelta, timezone
from http.client import HTTPConnection
from unittest.mock import patch
from urllib.parse import urlsplit

from botocore import UNSIGNED

from .support import Case


def clock(minutes):
    """Lets botocore sign with a clock that is off by some minutes."""
    shifted = datetime.now(timezone.utc).replace(tzinfo=None) + timedelta(minutes=minutes)
    return patch("botocore.auth.get_current_datetime", lambda *_: shifted)


class Signatures(Case):
    """The check of each part of a signature."""

    def test_each_service_accepts_a_right_signature(self):
        gov = self.facts("aws-us-gov")
        period = {"Start": "2026-01-01", "End": "2026-02-01"}
        for endpoint, operation, parameters in [
            ("organizations", "list_roots", {}),
            ("organizations-gov", "list_roots", {}),
            ("sts", "get_caller_identity", {}),
            ("sts-gov", "get_caller_identity", {}),
            (
                "ce",
                "get_cost_and_usage",
                {"TimePeriod": period, "Granularity": "MONTHLY", "Metrics": ["UnblendedCost"]},
            ),
            ("identitystore-gov", "list_users", {"IdentityStoreId": gov["identity_store"]}),
            ("sso-gov", "list_instances", {}),
        ]:
            with self.subTest(endpoint):
                getattr(self.client(endpoint), operation)(**parameters)
        self.assertTrue(all(call["accepted"] for call in self.control("GET", "calls")))

    def test_a_wrong_secret_is_refused(self):
        key = {**self.document["credentials"]["management"], "secret_access_key": "wrong"}
        client = self.client("organizations", key)
        answer = self.refused("InvalidSignatureException", client.list_roots)
        self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 400)
        self.assertIn("does not match", answer["Error"]["Message"])
        sts = self.client("sts", key)
        answer = self.refused("SignatureDoesNotMatch", sts.get_caller_identity)
        self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 403)

    def test_an_unknown_key_is_refused(self):
        key = {"access_key_id": "AKIAUNKNOWN", "secret_access_key": "secret"}
        self.refused("UnrecognizedClientException", self.client("organizations", key).list_roots)
        self.refused("InvalidClientTokenId", self.client("sts", key).get_caller_identity)

    def test_a_key_of_the_other_partition_is_refused(self):
        for endpoint, credential in [
            ("organizations", "management-gov"),
            ("organizations-gov", "management"),
        ]:
            client = self.client(endpoint, credential)
            self.refused("UnrecognizedClientException", client.list_roots)

    def test_a_wrong_region_is_refused(self):
        client = self.client("organizations-gov", region_name="us-gov-east-1")
        # The rule set of the service would sign for its one region.
        client.meta.events.register(
            "before-sign.organizations.*",
            lambda request, **_: request.context.update(signing={"region": "us-gov-east-1"}),
        )
        answer = self.refused("InvalidSignatureException", client.list_roots)
        self.assertIn("valid region, not 'us-gov-east-1'", answer["Error"]["Message"])

    def test_a_wrong_service_is_refused(self):
        client = self.client("sso-gov")
        client.meta.events.register(
            "before-sign.sso-admin.*",
            lambda request, **_: request.context.update(signing={"signing_name": "other"}),
        )
        answer = self.refused("InvalidSignatureException", client.list_instances)
        self.assertIn("correct service: 'sso'", answer["Error"]["Message"])

    def test_a_clock_that_is_off_by_more_than_five_minutes_is_refused(self):
        client = self.client("organizations")
        with clock(4):
            client.list_roots()
        with clock(-4):
            client.list_roots()
        with clock(-6):
            answer = self.refused("InvalidSignatureException", client.list_roots)
        self.assertIn("Signature expired", answer["Error"]["Message"])
        with clock(6):
            answer = self.refused("InvalidSignatureException", client.list_roots)
        self.assertIn("Signature not yet current", answer["Error"]["Message"])

    def test_a_changed_body_or_header_is_refused(self):
        client = self.client("organizations")
        client.meta.events.register("before-send.organizations.ListRoots", self._other_body)
        self.refused("InvalidSignatureException", client.list_roots)
        client = self.client("organizations")
        client.meta.events.register("before-send.organizations.ListRoots", self._other_target)
        self.refused("InvalidSignatureException", client.list_roots)

    @staticmethod
    def _other_body(request, **_):
        request.body = b'{"a":1}'
        request.headers["Content-Length"] = "7"

    @staticmethod
    def _other_target(request, **_):
        request.headers["X-Amz-Target"] = "AWSOrganizationsV20161128.ListAccounts"

    def test_a_target_that_is_not_signed_is_refused(self):
        client = self.client("organizations")

        def drop(request, **_):
            request.context["target"] = request.headers["X-Amz-Target"]
            del request.headers["X-Amz-Target"]

        def add(request, **_):
            request.headers["X-Amz-Target"] = "AWSOrganizationsV20161128.ListRoots"

        client.meta.events.register("before-sign.organizations.*", drop)
        client.meta.events.register("before-send.organizations.*", add)
        answer = self.refused("InvalidSignatureException", client.list_roots)
        self.assertIn("'x-amz-target' must be a 'SignedHeader'", answer["Error"]["Message"])

    def test_a_call_without_a_signature_is_refused(self):
        client = self.client("organizations", config={"signature_version": UNSIGNED})
        self.refused("MissingAuthenticationTokenException", client.list_roots)

    def test_a_temporary_key_needs_its_token(self):
        arn = self.facts()["roles"][0]
        key = self.role(arn, "sts")
        self.client("organizations", key).list_roots()
        for token in [None, "wrong"]:
            client = self.client("organizations", {**key, "session_token": token})
            self.refused("UnrecognizedClientException", client.list_roots)
        fixed = {**self.document["credentials"]["management"], "session_token": "some"}
        client = self.client("organizations", fixed)
        self.refused("UnrecognizedClientException", client.list_roots)

    def test_a_temporary_key_expires(self):
        client = self.client("organizations", self.role(self.facts()["roles"][0], "sts"))
        client.list_roots()
        self.control("POST", "expire", {})
        answer = self.refused("ExpiredTokenException", client.list_roots)
        self.assertEqual(answer["ResponseMetadata"]["HTTPStatusCode"], 400)

    def test_each_key_has_only_the_rights_of_its_holder(self):
        identity = self.client("organizations-gov", "identity-gov")
        self.refused("AccessDeniedException", identity.list_roots)
        management = self.client("sso-gov", "management-gov")
        self.refused("AccessDeniedException", management.list_instances)

    def test_errors_before_the_service_have_a_namespace(self):
        url = urlsplit(self.document["endpoints"]["organizations"]["url"])
        connection = HTTPConnection(url.hostname, url.port, timeout=60)
        self.addCleanup(connection.close)
        connection.request("POST", "/", b"{}")
        answer = connection.getresponse()
        self.assertEqual(answer.status, 400)
        self.assertEqual(answer.headers["content-type"], "application/x-amz-json-1.1")
        self.assertIsNotNone(answer.headers["x-amzn-requestid"])
        self.assertEqual(
            answer.read(),
            b'{"__type": "com.amazon.coral.service#MissingAuthenticationTokenException", '
            b'"message": "Missing Authentication Token"}',
        )

    def test_a_refused_call_is_kept_with_its_error_and_without_its_signature(self):
        key = {**self.document["credentials"]["management"], "secret_access_key": "wrong"}
        self.refused("InvalidSignatureException", self.client("organizations", key).list_roots)
        [call] = self.calls("ListRoots")
        self.assertFalse(call["accepted"])
        self.assertEqual(call["error"], "InvalidSignatureException")
        self.assertNotIn("authorization", call["headers"])
