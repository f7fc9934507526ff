"""A mock in this process, and the SDK's clients for it."""

import functools
import json
import logging
import time
import unittest

from azure.core.exceptions import HttpResponseError

from mock_azure.__main__ import start
from sdk import Azure
from sdk import Control

GROUPS = "/providers/Microsoft.Management/managementGroups/"
# azure-identity logs each refusal, also those that a test wants.
logging.getLogger("azure.identity").setLevel(logging.CRITICAL)

OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"


@functools.cache
def world():
    """Starts the mock that all tests share. It ends with the process."""
    return start()


class MockTest(unittest.TestCase):
    """A test with a tenant of its own."""

    @classmethod
    def setUpClass(cls):
        cls.world = world()
        cls.urls = cls.world.facts()
        cls.control = Control(cls.urls["control"])

    def setUp(self):
        self.control.post("reset")
        # Retries of the SDK would hide the errors that tests look for.
        self.azure = Azure(self.urls, retry_total=0)

    def tearDown(self):
        left = self.control.get("faults")
        self.assertEqual(left, [], "a fault that no call met tests nothing")

    def set(self, **settings):
        self.control.post("settings", settings)

    def set_operation(self, operation, **rules):
        self.set(operations={operation: rules})

    def fault(self, operation, kind, **more):
        self.control.post("faults", {"operation": operation, "kind": kind, **more})

    def calls(self, operation=None):
        calls = self.control.get("calls")
        return [call for call in calls if operation in (None, call["operation"])]

    def state(self):
        return self.control.get("state")

    def refused(self, status, code, function, *arguments, **options):
        """Runs a call of the SDK that must be refused, with this status and
        code as the SDK reads them. Returns the error."""
        with self.assertRaises(HttpResponseError) as caught:
            function(*arguments, **options)
        error = caught.exception
        self.assertEqual(error.status_code, status, error)
        self.assertEqual(error.error.code if error.error else None, code, error)
        return error

    def make_group(self, name, parent=None):
        details = {"parent": {"id": GROUPS + parent}} if parent else None
        properties = {"displayName": name.title(), "details": details}
        body = {"properties": {key: value for key, value in properties.items() if value}}
        return self.azure.groups.management_groups.begin_create_or_update(name, body).result()

    def make_subscription(self, name, parent=None, tags=None):
        """Adds a subscription by the control API, and returns its id."""
        body = {"displayName": name, "parent": parent, "tags": tags}
        return self.control.post("subscriptions", body)["id"]


def json_bytes(body):
    """Writes a body as bytes, which the SDK sends as they are, and so also what
    its models would not."""
    return json.dumps(body).encode()


def eventually(condition):
    """Waits until a condition holds; fails after a minute."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come to hold"
        time.sleep(0.01)
