"""Shows what stands in the tenant, read with Microsoft's SDK.

python show.py ready.json          # or the mock's line itself, or - for standard input
python show.py ready.json --json
"""

import argparse
import json

from mock_azure.roles import ROLES
from sdk import Azure
from sdk import urls_of

GROUPS = "/providers/Microsoft.Management/managementGroups/"


def tenant(azure):
    """Reads everything into plain objects."""
    tags = {
        item.subscription_id: item.tags or {} for item in azure.subscriptions.subscriptions.list()
    }
    root = azure.groups.management_groups.get(azure.urls["tenant"], expand="children", recurse=True)
    users = {user["id"]: user["mail"] for user in all_users(azure)}
    return {"managementGroups": [group(azure, root, tags, users)], "guests": sorted(users.values())}


def group(azure, item, tags, users):
    children = item.children or []
    return {
        "name": item.name,
        "displayName": item.display_name,
        "roles": roles(azure, GROUPS + item.name, users),
        "subscriptions": [
            {
                "id": child.name,
                "displayName": child.display_name,
                "tags": tags.get(child.name, {}),
                "roles": roles(azure, f"/subscriptions/{child.name}", users),
            }
            for child in children
            if child.type == "/subscriptions"
        ],
        "managementGroups": [
            group(azure, child, tags, users) for child in children if child.type != "/subscriptions"
        ],
    }


def roles(azure, scope, users):
    """Returns who has which role at a scope."""
    listed = azure.roles.role_assignments.list_for_scope(scope[1:], filter="atScope()")
    return [
        {
            "user": users.get(assignment.principal_id, assignment.principal_id),
            "role": role_name(assignment.role_definition_id.rsplit("/", 1)[1]),
        }
        for assignment in listed
    ]


def role_name(id):
    return ROLES.get(id, id)


def all_users(azure):
    page = azure.graph.get("/users", select="id,mail")
    while True:
        yield from page["value"]
        if "@odata.nextLink" not in page:
            return
        page = azure.graph.get_link(page["@odata.nextLink"])


def lines(item, depth=0):
    """Returns a management group and all in it as indented lines."""
    indent = "  " * depth
    yield f"{indent}management group {item['displayName']} ({item['name']})"
    yield from role_lines(item, indent)
    for subscription in item["subscriptions"]:
        yield f"{indent}  subscription {subscription['displayName']} ({subscription['id']})"
        for name, value in sorted(subscription["tags"].items()):
            yield f"{indent}    tag {name} = {value}"
        yield from role_lines(subscription, indent + "  ")
    for child in item["managementGroups"]:
        yield from lines(child, depth + 1)


def role_lines(item, indent):
    for entry in item["roles"]:
        yield f"{indent}  {entry['user']} has the role {entry['role']}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("ready", nargs="?", default="-")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = tenant(Azure(urls_of(arguments.ready)))
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for item in found["managementGroups"]:
        print("\n".join(lines(item)))
    print("guests: " + (", ".join(found["guests"]) or "none"))


if __name__ == "__main__":
    main()
