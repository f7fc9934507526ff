"""The mock as a process, its scripts, and its data."""

import json
import subprocess
import sys
import unittest
from pathlib import Path

import make_shapes
from mock_azure.shapes import Shape

FOLDER = Path(__file__).parent.parent


class Process(unittest.TestCase):
    def test_it_says_where_it_listens_and_ends_with_its_input(self):
        command = [sys.executable, "-m", "mock_azure", "--port", "0", "--until-eof"]
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
