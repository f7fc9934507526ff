"""A running local AWS, and clients for it."""

import json
import time
import unittest
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from mock_aws.server import Servers
from mock_aws.world import World

COMMERCIAL = "aws"
GOVCLOUD = "aws-us-gov"

# The longest wait for an answer. Answers of this process need milliseconds.
TIMEOUT_SECONDS = 60

# Shared, because each session reads the models anew.
SESSION = boto3.Session()

# The pause between two looks at a condition that is waited for.
PAUSE_SECONDS = 0.01

# One server for all tests, which reset it. It ends with the process.
SERVERS = Servers(World(), 0)
SERVERS.start()


class Case(unittest.TestCase):
    """A test with an AWS in its initial state."""

    def setUp(self):
        """Resets the server."""
        self.document = SERVERS.document()
        self.document = self.control("POST", "reset", {})

    def control(self, method, path, value=None):
        """Returns the answer of the control API, or the text of a refusal."""
        body = None if value is None else json.dumps(value).encode()
        url = f"{self.document['control']}/control/{path}"
        request = Request(url, body, method=method)
        try:
            with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                return json.load(answer)
        except HTTPError as error:
            with error:
                return json.load(error)

    def fault(self, kind, operation="*", **fields):
        """Asks for a fault."""
        fault = {"kind": kind, "operation": operation, **fields}
        self.assertIsInstance(self.control("POST", "faults", fault), list)

    def settings(self, **settings):
        """Changes settings."""
        self.assertIsInstance(self.control("POST", "settings", settings), dict)

    def calls(self, operation):
        """Returns the calls of an operation."""
        calls = self.control("GET", "calls")
        return [call for call in calls if call["operation"] == operation]

    def state(self, partition=COMMERCIAL):
        """Returns what exists in a partition."""
        return self.control("GET", "state")["partitions"][partition]

    def facts(self, partition=COMMERCIAL):
        """Returns the ids of a partition."""
        return self.document["partitions"][partition]

    def client(self, endpoint, credential=None, **changes):
        """Returns a client that does not retry and does not validate."""
        at = self.document["endpoints"][endpoint]
        key = credential
        if not isinstance(credential, dict):
            key = self.document["credentials"][credential or self._default(endpoint)]
        arguments = {
            "endpoint_url": at["url"],
            "region_name": at["region"],
            "aws_access_key_id": key["access_key_id"],
            "aws_secret_access_key": key["secret_access_key"],
            "aws_session_token": key.get("session_token"),
            "config": Config(
                parameter_validation=False,
                retries={"mode": "standard", "total_max_attempts": 1},
                **{"read_timeout": TIMEOUT_SECONDS, **changes.pop("config", {})},
            ),
            **changes,
        }
        service = "sso-admin" if at["service"] == "sso" else at["service"]
        return SESSION.client(service, **arguments)

    def _default(self, endpoint):
        name = "identity" if endpoint.startswith(("sso", "identitystore")) else "management"
        return f"{name}-gov" if endpoint.endswith("-gov") else name

    def refused(self, type, call, **parameters):
        """Returns the answer to a call that must be refused with this type."""
        with self.assertRaises(ClientError) as caught:
            call(**parameters)
        answer = caught.exception.response
        self.assertEqual(answer["Error"]["Code"], type, answer)
        return answer

    def account(self, name="E1", endpoint="organizations", **parameters):
        """Returns the id of a new account, after all polls."""
        client = self.client(endpoint)
        parameters.setdefault("Email", f"{name.lower()}@example.com")
        made = client.create_account(AccountName=name, **parameters)
        status = self.created(client, made["CreateAccountStatus"]["Id"])
        return status["AccountId"]

    def created(self, client, id):
        """Returns the status of a creation that has ended."""
        for _ in range(10):
            answer = client.describe_create_account_status(CreateAccountRequestId=id)
            if answer["CreateAccountStatus"]["State"] != "IN_PROGRESS":
                return answer["CreateAccountStatus"]
        self.fail("the creation does not end")

    def role(self, arn, endpoint="sts-gov", credential=None):
        """Returns the temporary keys of an assumed role."""
        sts = self.client(endpoint, credential)
        made = sts.assume_role(RoleArn=arn, RoleSessionName="hoth")["Credentials"]
        return {
            "access_key_id": made["AccessKeyId"],
            "secret_access_key": made["SecretAccessKey"],
            "session_token": made["SessionToken"],
        }


def eventually(condition):
    """Waits until a condition holds."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come to hold"
        time.sleep(PAUSE_SECONDS)
