"""Resource providers: what those of Azure Resource Manager have in common."""

import re

from .http import Refusal
from .http import Response
from .shapes import Shape
from .world import GROUPS


class Provider:
    """A resource provider, with the routes below its namespace."""

    def __init__(self, arm):
        self.arm = arm

    @property
    def tenant(self):
        return self.arm.tenant

    @property
    def settings(self):
        return self.arm.tenant.settings

    def body(self, request, shape):
        """Returns the body of a request, held to the SDK's model."""
        body = request.json()
        problems = Shape(shape).problems_of_request(body)
        if problems:
            message = f"The request content was invalid: {'; '.join(problems)}."
            raise Refusal(400, "InvalidRequestContent", message)
        return body

    def answer(self, shape, body, status=200):
        return Response(status, held(shape, body))

    def page(self, request, items, link="nextLink"):
        """Returns one page of a list, with the address of the next."""
        size = self.settings["page_size"]
        start = int(request.parameter("$skiptoken") or 0)
        body = {"value": items[start : start + size]}
        if start + size < len(items):
            query = f"?api-version={request.parameter('api-version')}&%24skiptoken={start + size}"
            body[link] = f"{self.arm.url}{request.path}{query}"
        return Response(200, body)

    def group(self, name):
        """Returns a management group that clients can see."""
        group = self.tenant.group(name)
        if group is None or group.hidden:
            raise Refusal(404, "NotFound", f"The management group '{name}' was not found.")
        return group

    def subscription(self, id):
        subscription = self.tenant.subscriptions.get(id.lower())
        if subscription is None:
            message = f"The subscription '{id}' could not be found."
            raise Refusal(404, "SubscriptionNotFound", message)
        return subscription

    def check_scope(self, scope):
        """Refuses a scope that does not exist. Returns it with Azure's case."""
        kind, name = scope.rsplit("/", 1)
        if kind.lower() == "/subscriptions":
            return f"/subscriptions/{self.subscription(name).id}"
        return self.group(name).id

    def below(self, group):
        """Returns the names of a management group and of all below it."""
        names = {group.name}
        while True:
            more = {
                child.name
                for child in self.tenant.groups.values()
                if child.parent in names and not child.hidden
            }
            if more <= names:
                return names
            names |= more


def held(shape, body):
    """Returns an answer's body. An answer that the SDK's model does not have is
    an error of the mock, and must not pass for Azure's."""
    problems = Shape(shape).problems_of_answer(without_state(body))
    assert not problems, f"the answer is no {shape}: {problems}"
    return body


def without_state(body):
    # The pollers read this field of any resource in any case of letters,
    # whatever its model says.
    properties = body.get("properties")
    if not isinstance(properties, dict):
        return body
    rest = {name: value for name, value in properties.items() if name != "provisioningState"}
    return {**body, "properties": rest}


def group_name(id):
    """Returns the name in the id of a management group, or `None` if it is no
    such id."""
    found = re.fullmatch(re.escape(GROUPS) + r"([^/]+)", id, re.IGNORECASE)
    return found and found[1]
