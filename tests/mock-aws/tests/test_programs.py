"""The programs: the server, and the report of what exists."""

import json
import os
import subprocess
import sys
import unittest
from urllib.request import urlopen

from .support import TIMEOUT_SECONDS, Case

FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Server(unittest.TestCase):
    """`python -m mock_aws`."""

    def test_it_prints_one_line_and_ends_with_its_standard_input(self):
        with subprocess.Popen(
            [sys.executable, "-m", "mock_aws", "--port", "0"],
            cwd=FOLDER,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            document = json.loads(process.stdout.readline())
            with urlopen(f"{document['control']}/control/facts", timeout=60) as answer:
                self.assertEqual(json.load(answer), document)
            process.stdin.close()
            self.assertEqual(process.stdout.read(), "")
            self.assertEqual(process.wait(TIMEOUT_SECONDS), 0)


class Show(Case):
    """`show.py`."""

    def show(self, *arguments):
        """Returns the output of the program."""
        url = f"{self.document['control']}/control/facts"
        command = [sys.executable, os.path.join(FOLDER, "show.py"), *arguments, url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_it_prints_units_accounts_users_groups_and_assignments(self):
        root, account = self.facts()["root"], self.account()
        organizations = self.client("organizations")
        unit = organizations.create_organizational_unit(
            ParentId=root, Name="P1", Tags=[{"Key": "hoth-job", "Value": "j1"}]
        )["OrganizationalUnit"]["Id"]
        organizations.move_account(AccountId=account, SourceParentId=root, DestinationParentId=unit)
        organizations.tag_resource(ResourceId=account, Tags=[{"Key": "a", "Value": "b"}])
        self.control("POST", "settle", {})
        store, id = self.client("identitystore"), self.facts()["identity_store"]
        group = store.create_group(IdentityStoreId=id, DisplayName="env-1")["GroupId"]
        user = store.create_user(
            IdentityStoreId=id,
            UserName="op@example.com",
            DisplayName="op",
            Name={"GivenName": "o", "FamilyName": "p"},
        )["UserId"]
        store.create_group_membership(IdentityStoreId=id, GroupId=group, MemberId={"UserId": user})
        self.client("sso").create_account_assignment(
            InstanceArn=self.facts()["instance_arn"],
            TargetId=account,
            TargetType="AWS_ACCOUNT",
            PermissionSetArn=self.facts()["permission_set"],
            PrincipalType="GROUP",
            PrincipalId=group,
        )
        self.control("POST", "settle", {})
        expected = f"""\
aws: organization
  Root ({root})
    account management (100000000001) ACTIVE management@example.com
    P1 ({unit})
      hoth-job = j1
      account E1 ({account}) ACTIVE e1@example.com
        a = b
aws: Identity Center
  user op@example.com
  group env-1: op@example.com
  assignment administrator in {account} to group env-1
"""
        self.assertEqual(self.show()[: len(expected)], expected)
        report = json.loads(self.show("--json"))
        self.assertEqual(report["aws"]["identity_center"]["users"], ["op@example.com"])
