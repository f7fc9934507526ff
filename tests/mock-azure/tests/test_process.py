"""The mock as a process, its scripts, and its data."""

import contextlib
import http.client
import io
import json
import subprocess
import sys
import unittest
from pathlib import Path
from urllib.parse import urlsplit

import make_shapes
from mock_azure.shapes import Shape

from .support import MockTest

FOLDER = Path(__file__).parent.parent


class Process(unittest.TestCase):
    def test_it_says_where_it_listens_and_ends_with_its_input(self):
        command = [sys.executable, "-m", "mock_azure", "--port", "0"]
        with subprocess.Popen(
            command, cwd=FOLDER, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            line = json.loads(process.stdout.readline())
            self.assertEqual(
                set(line),
                {
                    "token",
                    "arm",
                    "graph",
                    "control",
                    "tenant",
                    "client_id",
                    "client_secret",
                },
            )
            process.stdin.close()
            self.assertEqual(process.wait(60), 0)


class Shapes(unittest.TestCase):
    def test_the_file_is_what_the_packages_give(self):
        self.assertEqual((FOLDER / "mock_azure" / "shapes.json").read_text(), make_shapes.make())

    def test_requests(self):
        shape = Shape("azure.mgmt.costmanagement:QueryTimePeriod")
        for value, problems in (
            ({"from": "2026-01-01T00:00:00Z", "to": "2026-01-31T23:59:59.5+00:00"}, []),
            ({"from": "2026-01-01", "to": "2026-01-31T23:59:59Z"}, ["'from' must be a datetime"]),
            ({"from": "2026-01-01T00:00:00Z"}, ["Required property 'to' is missing"]),
            ([], ["'$' must be an object"]),
        ):
            self.assertEqual(shape.problems_of_request(value), problems)
        shape = Shape("azure.mgmt.authorization.v2022_04_01:RoleAssignmentCreateParameters")
        self.assertEqual(
            shape.problems_of_request({"properties": {"scope": "/", "principalId": "p"}}),
            [
                "'properties.scope' is read-only",
                "Required property 'properties.roleDefinitionId' is missing",
            ],
        )

    def test_answers_may_have_fields_that_only_the_service_sets(self):
        shape = Shape("azure.mgmt.authorization.v2022_04_01:RoleAssignment")
        self.assertEqual(shape.problems_of_answer({"properties": {"scope": "/"}}), [])
        self.assertEqual(shape.problems_of_answer({"more": 1}), ["Could not find member 'more'"])


class Bodies(MockTest):
    def test_requests_that_the_server_does_not_read(self):
        for headers, status in (
            ({"Transfer-Encoding": "chunked"}, 411),
            ({"Content-Length": "x"}, 411),
            ({"Content-Length": "2000000"}, 413),
        ):
            connection = http.client.HTTPConnection(urlsplit(self.urls["arm"]).netloc)
            connection.putrequest("PUT", "/")
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            self.assertEqual(connection.getresponse().status, status)
            connection.close()

    def test_an_error_of_the_mock_is_no_fault(self):
        self.world.tenant.groups = None
        with contextlib.redirect_stderr(io.StringIO()) as shown:
            error = self.refused(500, "MockAzure", self.azure.groups.management_groups.get, "p1")
        self.assertIn("NoneType", str(error))
        self.assertIn("Traceback", shown.getvalue())
