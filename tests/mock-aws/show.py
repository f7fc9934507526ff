"""Prints what stands in the organizations and Identity Centers of a local AWS.

Asks by boto3, as an operator would, and knows nothing of the mock.

The argument is the document that `python -m mock_aws` prints: a file, `-` for
standard input, or the URL `.../control/facts` of the control API.
"""

import argparse
import json
import sys
from urllib.request import urlopen

import boto3
from botocore.config import Config

# The longest time for one answer.
TIMEOUT_SECONDS = 30


def main():
    """Prints the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("document", metavar="FILE|URL")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    document = read(arguments.document)
    report = {
        partition: {
            "organization": organization(document, partition),
            "identity_center": identity_center(document, partition),
        }
        for partition in document["partitions"]
    }
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        for partition, shown in report.items():
            print("\n".join(lines(partition, shown)))


def read(source):
    """Returns the document with endpoints, keys and ids."""
    if source == "-":
        return json.load(sys.stdin)
    if source.startswith("http://"):
        with urlopen(source, timeout=TIMEOUT_SECONDS) as answer:
            return json.load(answer)
    with open(source, encoding="utf-8") as file:
        return json.load(file)


def client(document, service, partition, credential):
    """Returns a client for a service in a partition."""
    suffix = "" if partition == "aws" else "-gov"
    endpoint = document["endpoints"][service + suffix]
    key = document["credentials"][credential + suffix]
    return boto3.client(
        "sso-admin" if service == "sso" else service,
        endpoint_url=endpoint["url"],
        region_name=endpoint["region"],
        aws_access_key_id=key["access_key_id"],
        aws_secret_access_key=key["secret_access_key"],
        config=Config(read_timeout=TIMEOUT_SECONDS),
    )


def organization(document, partition):
    """Returns the tree of units with their accounts."""
    asked = client(document, "organizations", partition, "management")
    root = asked.list_roots()["Roots"][0]
    return unit(asked, root)


def unit(asked, shown):
    """Returns a unit, or the root, with all that is below."""
    id = shown["Id"]
    children = pages(asked, "list_organizational_units_for_parent", ParentId=id)
    accounts = pages(asked, "list_accounts_for_parent", ParentId=id)
    return {
        "id": id,
        "name": shown["Name"],
        "tags": tags(asked, id),
        "accounts": [
            {
                "id": account["Id"],
                "name": account["Name"],
                "email": account["Email"],
                "state": account["State"],
                "tags": tags(asked, account["Id"]),
            }
            for account in accounts
        ],
        "units": [unit(asked, child) for child in children],
    }


def tags(asked, id):
    """Returns the tags of a unit or an account."""
    found = pages(asked, "list_tags_for_resource", ResourceId=id)
    return {tag["Key"]: tag["Value"] for tag in found}


def pages(asked, operation, **parameters):
    """Returns the items of all pages of a list."""
    found = []
    for answer in asked.get_paginator(operation).paginate(**parameters):
        lists = [value for value in answer.values() if isinstance(value, list)]
        found.extend(item for items in lists for item in items)
    return found


def identity_center(document, partition):
    """Returns users, groups with their members, and assignments."""
    center = client(document, "sso", partition, "identity")
    store = client(document, "identitystore", partition, "identity")
    instance = center.list_instances()["Instances"][0]
    id, arn = instance["IdentityStoreId"], instance["InstanceArn"]
    users = {u["UserId"]: u["UserName"] for u in pages(store, "list_users", IdentityStoreId=id)}
    groups = {
        g["GroupId"]: g["DisplayName"] for g in pages(store, "list_groups", IdentityStoreId=id)
    }
    members = {
        name: [
            users[membership["MemberId"]["UserId"]]
            for membership in pages(
                store, "list_group_memberships", IdentityStoreId=id, GroupId=group
            )
        ]
        for group, name in groups.items()
    }
    return {
        "users": sorted(users.values()),
        "groups": members,
        "assignments": assignments(document, partition, center, arn, {**users, **groups}),
    }


def assignments(document, partition, center, arn, names):
    """Returns the assignments of all accounts with the names of principals."""
    asked = client(document, "organizations", partition, "management")
    found = []
    for account in pages(asked, "list_accounts"):
        for permission_set in pages(center, "list_permission_sets", InstanceArn=arn):
            described = center.describe_permission_set(
                InstanceArn=arn, PermissionSetArn=permission_set
            )
            for assignment in pages(
                center,
                "list_account_assignments",
                InstanceArn=arn,
                AccountId=account["Id"],
                PermissionSetArn=permission_set,
            ):
                found.append(
                    {
                        "account": account["Id"],
                        "permission_set": described["PermissionSet"]["Name"],
                        "principal_type": assignment["PrincipalType"],
                        "principal": names.get(
                            assignment["PrincipalId"], assignment["PrincipalId"]
                        ),
                    }
                )
    return found


def lines(partition, report):
    """Returns the report of a partition as lines of text."""
    yield f"{partition}: organization"
    yield from unit_lines(report["organization"], "  ")
    center = report["identity_center"]
    yield f"{partition}: Identity Center"
    for user in center["users"]:
        yield f"  user {user}"
    for group, members in center["groups"].items():
        yield f"  group {group}: {', '.join(members) or 'no members'}"
    for one in center["assignments"]:
        kind = one["principal_type"].lower()
        yield (
            f"  assignment {one['permission_set']} in {one['account']} to {kind} {one['principal']}"
        )


def unit_lines(shown, indent):
    """Returns a unit and all that is below as lines of text."""
    yield f"{indent}{shown['name']} ({shown['id']})"
    yield from tag_lines(shown["tags"], indent)
    for account in shown["accounts"]:
        yield (
            f"{indent}  account {account['name']} ({account['id']}) {account['state']} "
            f"{account['email']}"
        )
        yield from tag_lines(account["tags"], indent + "  ")
    for child in shown["units"]:
        yield from unit_lines(child, indent + "  ")


def tag_lines(tags, indent):
    """Returns tags as lines of text."""
    for key, value in sorted(tags.items()):
        yield f"{indent}  {key} = {value}"


if __name__ == "__main__":
    main()
