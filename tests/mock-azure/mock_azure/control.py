"""The port by which a test prepares the tenant and asks what happened."""

import json
from copy import deepcopy
from datetime import date
from decimal import Decimal
from decimal import InvalidOperation

from . import settings
from .http import Response
from .identity import Application
from .jwt import Malformed
from .routes import Route
from .world import Subscription
from .world import User


class Control:
    """Routes below /control. Bodies and answers are JSON; the answer to a wrong
    request is a sentence."""

    def __init__(self, world):
        self.world = world
        self.table = [
            Route(method, "/control/" + path, path, function)
            for method, path, function in [
                ("GET", "facts", self.facts),
                ("GET", "calls", self.calls),
                ("GET", "state", self.state),
                ("GET", "settings", self.get_settings),
                ("POST", "settings", self.post_settings),
                ("GET", "faults", self.get_faults),
                ("POST", "faults", self.post_faults),
                ("POST", "release", self.release),
                ("POST", "reset", self.reset),
                ("POST", "applications", self.applications),
                ("POST", "subscriptions", self.subscriptions),
                ("POST", "users", self.users),
                ("POST", "costs", self.costs),
                ("POST", "settle", self.settle),
                ("POST", "expire", self.expire),
                ("POST", "accept-ownership", self.accept_ownership),
            ]
        ]

    @property
    def tenant(self):
        return self.world.tenant

    def answer(self, request):
        for route in self.table:
            if route.match(request) is not None:
                return self.run(route.function, request.body)
        return Response(404, f"there is no {request.method} {request.path}")

    def run(self, function, body):
        try:
            with self.world.lock:
                # A copy, because it is written outside the lock.
                return Response(200, deepcopy(function(json.loads(body) if body else {})))
        except (ValueError, Malformed) as error:
            return Response(400, str(error))
        except (KeyError, TypeError, InvalidOperation) as error:
            return Response(400, f"{type(error).__name__}: {error}")

    def facts(self, body):
        """Returns the line that the mock printed."""
        return self.world.facts()

    def calls(self, body):
        return self.tenant.calls

    def get_settings(self, body):
        return self.tenant.settings

    def post_settings(self, body):
        settings.merge(self.tenant.settings, body)
        return self.tenant.settings

    def get_faults(self, body):
        return self.tenant.faults.pending

    def post_faults(self, body):
        """Adds one fault, or a list of them."""
        for fault in body if isinstance(body, list) else [body]:
            self.tenant.faults.add(fault)
        return self.tenant.faults.pending

    def release(self, body):
        self.tenant.faults.release()
        return {}

    def reset(self, body):
        self.world.reset()
        return {}

    def applications(self, body):
        """Registers `{client_id, secret, certificates, federations}`, in place
        of the application with that id if there is one."""
        application = Application(**body)
        self.tenant.applications[application.client_id] = application
        return {"client_id": application.client_id}

    def subscriptions(self, body):
        """Adds a subscription `{displayName, parent, id, tags}`."""
        id = body.get("id") or self.tenant.new_id("subscription", body["displayName"])
        parent = self.tenant.group(body["parent"]) if body.get("parent") else self.tenant.root
        tags = dict(body.get("tags") or {})
        self.tenant.subscriptions[id] = Subscription(id, body["displayName"], parent.name, tags)
        return {"id": id}

    def users(self, body):
        """Adds a user `{mail, displayName, otherMails}` who has been here long."""
        id = self.tenant.new_id("user", body["mail"].lower())
        name = body.get("displayName") or body["mail"]
        other = body.get("otherMails") or []
        user = User(id, body["mail"], name, "Member", other, external_user_state=None)
        self.tenant.users[id] = user
        return {"id": id}

    def costs(self, body):
        """Adds lines `{subscriptionId, date, cost, currency, …}`: a day, and a
        number or a decimal text. Further fields are dimensions, such as
        `ServiceName`."""
        for line in body if isinstance(body, list) else [body]:
            rest = dict(line)
            self.tenant.costs.append(
                {
                    "SubscriptionId": rest.pop("subscriptionId").lower(),
                    "date": date.fromisoformat(rest.pop("date")),
                    "cost": Decimal(str(rest.pop("cost"))),
                    "Currency": rest.pop("currency", "USD"),
                    **rest,
                }
            )
        return {"lines": len(self.tenant.costs)}

    def settle(self, body):
        """Ends all long-running operations, without further polls."""
        running = [item for item in self.tenant.operations.values() if item.outcome is None]
        for operation in running:
            # An operation is here under two names at most.
            if operation.outcome is None:
                operation.end()
        return {}

    def expire(self, body):
        """Lets all tokens that were given so far expire."""
        self.tenant.tokens.revoke_all()
        return {}

    def accept_ownership(self, body):
        """Accepts the ownership of the subscription of an `alias`, or lets it
        end in another `state`, such as Expired."""
        alias = self.tenant.aliases[body["alias"]]
        alias.ownership = body.get("state", "Completed")
        return {"alias": alias.name, "state": alias.ownership}

    def state(self, body):
        """Returns what stands in the tenant, sorted by ids or names, and the texts
        that must appear nowhere else."""
        tenant = self.tenant
        groups = (group for group in tenant.groups.values() if not group.hidden)
        return {
            "managementGroups": ordered(
                {"name": group.name, "displayName": group.display_name, "parent": group.parent}
                for group in groups
            ),
            "subscriptions": ordered(
                {
                    "id": item.id,
                    "displayName": item.display_name,
                    "parent": item.parent,
                    "tags": item.tags,
                }
                for item in tenant.subscriptions.values()
            ),
            "aliases": ordered(
                {
                    "name": alias.name,
                    "subscriptionId": alias.subscription_id,
                    "state": alias.operation.outcome or "Accepted",
                    "ownership": alias.ownership,
                }
                for alias in tenant.aliases.values()
            ),
            "roleAssignments": ordered(
                {"name": assignment["name"], **assignment["properties"]}
                for assignment in tenant.assignments.values()
            ),
            "users": ordered(
                {"id": user.id, "mail": user.mail, "type": user.user_type}
                for user in tenant.users.values()
            ),
            "invitations": len(tenant.invitations),
            "secrets": tenant.secrets(),
        }


def ordered(items):
    return sorted(items, key=lambda item: str(item.get("id") or item.get("name")))
