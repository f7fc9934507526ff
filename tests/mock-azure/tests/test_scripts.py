"""The scripts twin.py and show.py, which others run."""

import json
import subprocess
import sys

import show
import twin

from .support import GROUPS
from .support import MockTest
from .test_process import FOLDER

MAIL = "a.b@example.mil"


class Scripts(MockTest):
    def twin(self, operation, **job):
        """Runs an operation, and returns its calls as `METHOD operation`."""
        payload = {**twin.INPUT["payload"], **job.pop("payload", {})}
        before = len(self.calls())
        twin.OPERATIONS[operation](
            self.azure, {**twin.INPUT, "payload": payload, **job}, twin.SETTINGS
        )
        self.normalised = twin.normalised(self.calls()[before:])
        return [call["operation"] for call in self.normalised]

    def portfolio(self):
        self.twin("ADD_PORTFOLIO")
        return next(
            item["name"]
            for item in self.state()["managementGroups"]
            if item["displayName"] == "Sample"
        )

    def test_a_portfolio(self):
        self.assertEqual(
            self.twin("ADD_PORTFOLIO"),
            [
                "managementGroups.put",
                "operationStatuses.get",
                "operationStatuses.get",
                "managementGroups.get",
            ],
        )
        self.assertEqual(
            self.normalised[0],
            {
                "service": "arm",
                "operation": "managementGroups.put",
                "method": "PUT",
                "path": GROUPS + "guid-1",
                "query": [["api-version", "2023-04-01"]],
                "headers": {"cache-control": "no-cache", "content-type": "application/json"},
                "audience": "arm",
                "body": {
                    "properties": {
                        "displayName": "Sample",
                        "details": {"parent": {"id": GROUPS + "guid-2"}},
                    }
                },
                "answer": 202,
            },
        )
        name = next(item["name"] for item in self.state()["managementGroups"] if item["parent"])
        self.assertEqual(self.twin("GET_PORTFOLIO", portfolioId=name), ["managementGroups.get"])
        self.assertEqual(
            self.normalised[0]["query"],
            [["$expand", "children"], ["$recurse", "true"], ["api-version", "2023-04-01"]],
        )

    def test_an_environment_with_its_administrators(self):
        name = self.portfolio()
        self.assertEqual(
            self.twin("ADD_ENVIRONMENT", portfolioId=name),
            [
                "aliases.put",
                "aliases.get",
                "aliases.get",
                "aliases.get",
                "users.list",
                "invitations.post",
                "roleAssignments.put",
                "roleAssignments.put",
            ],
        )
        answers = [call["answer"] for call in self.normalised]
        self.assertEqual(answers, [201, 200, 200, 200, 200, 201, 400, 201])
        subscription = self.state()["subscriptions"][0]
        self.assertEqual(
            (subscription["parent"], subscription["tags"]), (name, {"hoth-job": "job-1"})
        )
        # Again: all is there.
        self.twin("ADD_ENVIRONMENT", portfolioId=name)
        self.assertEqual(len(self.state()["subscriptions"]), 1)
        self.assertEqual(len(self.state()["roleAssignments"]), 1)
        self.assertEqual(self.state()["invitations"], 1)

    def test_operators_of_an_environment_or_a_portfolio(self):
        name = self.portfolio()
        id = self.make_subscription("E1", name)
        self.twin("ADD_OPERATORS", portfolioId=name, payload={"environmentId": id})
        self.twin("ADD_OPERATORS", portfolioId=name)
        scopes = {item["scope"] for item in self.state()["roleAssignments"]}
        self.assertEqual(scopes, {f"/subscriptions/{id}", GROUPS + name})

    def test_costs(self):
        self.set(cost_page_rows=1, today="2026-11-29")
        name = self.portfolio()
        id = self.make_subscription("E1", name, {"hoth-clin": "TO-1.0001"})
        for day in ("2026-01-05", "2026-02-05", "2026-03-31"):
            self.control.post("costs", {"subscriptionId": id, "date": day, "cost": 1})
        self.assertEqual(
            self.twin("COST_BY_PORTFOLIO", portfolioId=name),
            ["managementGroups.get", "subscriptions.list"] + ["costs.query"] * 3,
        )
        queries = self.normalised[2:]
        self.assertNotIn("$skiptoken", dict(queries[0]["query"]))
        self.assertIn("$skiptoken", dict(queries[2]["query"]))
        self.assertEqual([call["body"] for call in queries], [queries[0]["body"]] * 3)
        self.assertEqual(
            queries[0]["body"]["dataset"]["grouping"],
            [{"type": "Dimension", "name": "SubscriptionId"}],
        )
        self.assertEqual(
            self.twin("COST_BY_CLIN", portfolioId=name),
            ["managementGroups.get", "subscriptions.list"] + ["costs.query"] * 3,
        )
        self.assertEqual(
            self.twin("COST_BY_CLIN", portfolioId=name, clin="0002"),
            ["managementGroups.get", "subscriptions.list"],
        )

    def test_two_clients_that_do_the_same_have_the_same_calls(self):
        self.twin("ADD_PORTFOLIO")
        first = self.normalised
        self.control.post("reset")
        self.twin("ADD_PORTFOLIO", jobId="job-2")
        self.assertEqual(self.normalised, first)

    def test_the_tenant_is_shown(self):
        name = self.portfolio()
        self.twin("ADD_ENVIRONMENT", portfolioId=name)
        found = show.tenant(self.azure)
        text = "\n".join(show.lines(found["managementGroups"][0]))
        for part in (
            "management group Sample",
            "subscription Sample",
            "tag hoth-job = job-1",
            f"{MAIL} has the role Owner",
        ):
            self.assertIn(part, text)
        self.assertEqual(found["guests"], [MAIL])

    def test_the_scripts_run(self):
        ready = json.dumps(self.urls)
        calls = self.run_script(
            "twin.py",
            "ADD_PORTFOLIO",
            "--ready",
            ready,
            "--input",
            '{"payload": {"name": "Other"}}',
        )
        self.assertEqual(len(json.loads(calls)), 4)
        self.assertEqual(self.run_script("twin.py", "RECORDED", "--ready", ready), calls)
        state = json.loads(self.run_script("twin.py", "STATE", "--ready", ready))
        made = state["managementGroups"][0]["managementGroups"]
        self.assertEqual(
            [(item["name"], item["displayName"]) for item in made], [("guid-2", "Other")]
        )
        self.assertIn("management group Other", self.run_script("show.py", ready))
        self.assertIn("guests", json.loads(self.run_script("show.py", "--json", ready)))

    def run_script(self, *arguments):
        command = [sys.executable, *arguments]
        return subprocess.run(
            command, cwd=FOLDER, check=True, capture_output=True, text=True
        ).stdout
