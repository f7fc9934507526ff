"""Microsoft.Management: management groups, and the subscriptions in them."""

import re

from .http import Refusal
from .http import Response
from .operations import Operation
from .provider import Provider
from .provider import group_name
from .provider import held
from .routes import Route
from .world import GROUPS
from .world import Group

VERSION = "2023-04-01"
PROVIDER = "/providers/Microsoft.Management"
MODELS = "azure.mgmt.managementgroups:"

# Limits that Azure states for management groups.
NAME = re.compile(r"[A-Za-z0-9_().-]{1,90}")
LEVELS_MAX = 6

EXPAND = ["children", "path", "ancestors"]


class ManagementGroups(Provider):
    """Management groups of the tenant."""

    def routes(self):
        groups = r"/providers/Microsoft\.Management/managementGroups"
        group = groups + r"/(?P<name>[^/]+)"
        member = group + r"/subscriptions/(?P<id>[^/]+)"
        versions = (VERSION,)
        return [
            Route("GET", groups, "managementGroups.list", self.list, versions),
            Route("GET", group, "managementGroups.get", self.get, versions),
            Route("PUT", group, "managementGroups.put", self.put, versions),
            Route(
                "GET",
                group + "/subscriptions",
                "managementGroupSubscriptions.list",
                self.list_members,
                versions,
            ),
            Route("GET", member, "managementGroupSubscriptions.get", self.get_member, versions),
            Route("PUT", member, "managementGroupSubscriptions.put", self.put_member, versions),
        ]

    def list(self, request, caller):
        items = [
            held(
                MODELS + "ManagementGroupInfo",
                {
                    "id": group.id,
                    "type": "Microsoft.Management/managementGroups",
                    "name": group.name,
                    "properties": {"tenantId": self.tenant.id, "displayName": group.display_name},
                },
            )
            for group in self.tenant.groups.values()
            if not group.hidden
        ]
        # This list alone has its link under another name.
        return self.page(request, items, "@nextLink")

    def get(self, request, caller, name):
        group = self.tenant.group(name)
        operation = group and self.tenant.operations.get(group.id)
        if operation and operation.form == "resource":
            operation.poll()
            group.state = operation.word("Running")
        group = self.group(name)
        expand = request.parameter("$expand")
        recurse = (request.parameter("$recurse") or "false").lower() == "true"
        if expand and expand not in EXPAND:
            raise Refusal(400, "BadRequest", f"$expand must be one of {', '.join(EXPAND)}.")
        if recurse and expand != "children":
            raise Refusal(400, "BadRequest", "$recurse=true needs $expand=children.")
        return self.answer(MODELS + "ManagementGroup", self.resource(group, expand, recurse))

    def put(self, request, caller, name):
        if not NAME.fullmatch(name) or name.endswith("."):
            raise Refusal(400, "BadRequest", f"The management group name '{name}' is not valid.")
        body = self.body(request, MODELS + "CreateManagementGroupRequest")
        if body.get("name", name) != name:
            raise Refusal(400, "BadRequest", "The name in the body differs from that in the path.")
        properties = body.get("properties") or {}
        parent = self.parent(properties)
        group = self.tenant.group(name)
        if group is not None:
            return self.update(group, properties, parent)
        self.check_level(parent)
        group = Group(name, properties.get("displayName") or name, parent.name, hidden=True)
        rules = self.settings["operations"]["managementGroups.put"]
        operation = self.start(group, rules)
        return operation.first_answer(self.arm.url)

    def start(self, group, rules):
        self.tenant.groups[group.name] = group

        def finish():
            group.hidden = False

        operation = Operation(dict(rules), finish, lambda: self.resource(group), PROVIDER, VERSION)
        if operation.form == "resource":
            group.hidden = False
            group.state = operation.word("Running")
        self.tenant.operations[operation.id] = self.tenant.operations[group.id] = operation
        return operation

    def update(self, group, properties, parent):
        """Puts a group that exists: answers with a running operation, or sets
        its name and parent at once."""
        operation = self.tenant.operations.get(group.id)
        if operation and operation.outcome is None:
            return Response(
                operation.rules["status"], operation.resource(), operation.links(self.arm.url)
            )
        if operation and operation.outcome != "Succeeded":
            # A new try after a failure.
            del self.tenant.groups[group.name]
            again = Group(
                group.name, properties.get("displayName") or group.name, parent.name, hidden=True
            )
            rules = self.settings["operations"]["managementGroups.put"]
            return self.start(again, rules).first_answer(self.arm.url)
        if parent.name in self.below(group):
            raise Refusal(400, "BadRequest", "A management group cannot be below itself.")
        changed = (properties.get("displayName") or group.display_name, parent.name)
        if changed != (group.display_name, group.parent):
            group.display_name, group.parent = changed
            group.version += 1
        return self.answer(MODELS + "ManagementGroup", self.resource(group))

    def parent(self, properties):
        id = ((properties.get("details") or {}).get("parent") or {}).get("id")
        if id is None:
            return self.tenant.root
        name = group_name(id)
        if name is None:
            raise Refusal(400, "BadRequest", f"'{id}' is not the id of a management group.")
        return self.group(name)

    def check_level(self, parent):
        level = 0
        while parent.parent is not None:
            level += 1
            parent = self.tenant.groups[parent.parent]
        if level >= LEVELS_MAX:
            message = f"Management groups can be nested {LEVELS_MAX} levels deep, without the root."
            raise Refusal(400, "BadRequest", message)

    def list_members(self, request, caller, name):
        group = self.group(name)
        members = [item for item in self.tenant.subscriptions.values() if item.parent == group.name]
        return self.page(request, [self.member(item) for item in members])

    def get_member(self, request, caller, name, id):
        group, subscription = self.group(name), self.subscription(id)
        if subscription.parent != group.name:
            message = f"The subscription '{id}' is not in the management group '{name}'."
            raise Refusal(404, "NotFound", message)
        return Response(200, self.member(subscription))

    def put_member(self, request, caller, name, id):
        if "content-length" not in request.headers:
            raise Refusal(411, "LengthRequired", "A content length is required.")
        if request.body:
            raise Refusal(400, "BadRequest", "The request must have an empty body.")
        group, subscription = self.group(name), self.subscription(id)
        subscription.parent = group.name
        return Response(200, self.member(subscription))

    def member(self, subscription):
        return held(
            MODELS + "SubscriptionUnderManagementGroup",
            {
                "id": f"{GROUPS}{subscription.parent}/subscriptions/{subscription.id}",
                "type": "Microsoft.Management/managementGroups/subscriptions",
                "name": subscription.id,
                "properties": {
                    "tenant": self.tenant.id,
                    "displayName": subscription.display_name,
                    "parent": {"id": GROUPS + subscription.parent},
                    "state": "Active",
                },
            },
        )

    def resource(self, group, expand=None, recurse=False):
        parent = self.tenant.groups.get(group.parent)
        details = {
            "version": group.version,
            "updatedTime": f"{self.tenant.today()}T00:00:00Z",
            "updatedBy": "mock-azure",
            "parent": parent
            and {
                "id": parent.id,
                "name": parent.name,
                "displayName": parent.display_name,
            },
        }
        properties = {
            "tenantId": self.tenant.id,
            "displayName": group.display_name,
            "details": details,
        }
        if expand == "children":
            properties["children"] = self.children(group, recurse)
        if expand in ("path", "ancestors"):
            line = self.line(group)
            if expand == "path":
                details["path"] = line
            else:
                details["managementGroupAncestors"] = [step["name"] for step in line]
                details["managementGroupAncestorsChain"] = line
        if group.state:
            properties["provisioningState"] = group.state
        return {
            "id": group.id,
            "type": "Microsoft.Management/managementGroups",
            "name": group.name,
            "properties": properties,
        }

    def children(self, group, recurse):
        """Returns what is in a group. Azure sends null for an empty list."""
        found = []
        for child in self.tenant.groups.values():
            if child.parent == group.name and not child.hidden:
                found.append(
                    {
                        "id": child.id,
                        "type": "Microsoft.Management/managementGroups",
                        "name": child.name,
                        "displayName": child.display_name,
                        "children": self.children(child, True) if recurse else None,
                    }
                )
        for subscription in self.tenant.subscriptions.values():
            if subscription.parent == group.name:
                found.append(
                    {
                        "id": f"/subscriptions/{subscription.id}",
                        "type": "/subscriptions",
                        "name": subscription.id,
                        "displayName": subscription.display_name,
                    }
                )
        return found or None

    def line(self, group):
        """Returns the ancestors of a group, from the root down."""
        steps = []
        while group.parent is not None:
            group = self.tenant.groups[group.parent]
            steps.insert(0, {"name": group.name, "displayName": group.display_name})
        return steps
