"""Microsoft.Authorization: role assignments."""

import re

from .http import Refusal
from .provider import Provider
from .provider import held
from .routes import GUID
from .routes import SCOPE
from .routes import Route

VERSIONS = ("2022-04-01",)
MODELS = "azure.mgmt.authorization.v2022_04_01:"

# Built-in roles, the same in every tenant and cloud.
ROLES = {
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635": "Owner",
    "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
    "acdd72a7-3385-48ef-bd42-f606fba81ae7": "Reader",
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9": "User Access Administrator",
    "72fafb9e-0641-4937-9268-a91bfd8191a3": "Cost Management Reader",
}

DEFINITION = re.compile(
    rf"(?:/subscriptions/[^/]+|/providers/Microsoft\.Management/managementGroups/[^/]+)?"
    rf"/providers/Microsoft\.Authorization/roleDefinitions/({GUID})",
    re.IGNORECASE,
)
FILTER = re.compile(rf"(?:atScope\(\)|principalId eq '({GUID})')", re.IGNORECASE)


class Roles(Provider):
    """Role assignments at management groups and subscriptions."""

    def routes(self):
        all = SCOPE + r"/providers/Microsoft\.Authorization/roleAssignments"
        one = all + r"/(?P<name>[^/]+)"
        return [
            Route("GET", all, "roleAssignments.list", self.list, VERSIONS),
            Route("GET", one, "roleAssignments.get", self.get, VERSIONS),
            Route("PUT", one, "roleAssignments.put", self.put, VERSIONS),
        ]

    def list(self, request, caller, scope):
        scope = self.check_scope(scope)
        principal = None
        if request.parameter("$filter"):
            found = FILTER.fullmatch(request.parameter("$filter").strip())
            if found is None:
                raise Refusal(400, "UnsupportedQuery", "The filter of the query is not supported.")
            principal = found[1]
        items = [
            assignment
            for assignment in self.tenant.assignments.values()
            if assignment["properties"]["scope"] == scope
            and principal in (None, assignment["properties"]["principalId"])
        ]
        return self.page(request, items)

    def get(self, request, caller, scope, name):
        scope = self.check_scope(scope)
        assignment = self.tenant.assignments.get((scope, name.lower()))
        if assignment is None:
            message = f"The role assignment '{name}' is not found."
            raise Refusal(404, "RoleAssignmentNotFound", message)
        return self.answer(MODELS + "RoleAssignment", assignment)

    def put(self, request, caller, scope, name):
        scope = self.check_scope(scope)
        if not re.fullmatch(GUID, name):
            message = f"The role assignment ID '{name}' is not valid. It must be a GUID."
            raise Refusal(400, "InvalidRoleAssignmentId", message)
        properties = self.body(request, MODELS + "RoleAssignmentCreateParameters")["properties"]
        definition = self.definition(properties["roleDefinitionId"], scope)
        principal = properties["principalId"]
        wanted = (scope, definition.lower(), principal.lower())
        existing = self.tenant.assignments.get((scope, name.lower()))
        if existing is not None:
            if key(existing) != wanted:
                message = "Tenant ID, application ID, principal ID, and scope cannot be updated."
                raise Refusal(400, "RoleAssignmentUpdateNotPermitted", message)
            return self.answer(MODELS + "RoleAssignment", existing)
        if any(key(assignment) == wanted for assignment in self.tenant.assignments.values()):
            raise Refusal(409, "RoleAssignmentExists", "The role assignment already exists.")
        self.check_principal(principal, properties.get("principalType"))
        assignment = held(
            MODELS + "RoleAssignment",
            {
                "id": f"{scope}/providers/Microsoft.Authorization/roleAssignments/{name.lower()}",
                "type": "Microsoft.Authorization/roleAssignments",
                "name": name.lower(),
                "properties": {
                    "scope": scope,
                    "roleDefinitionId": definition,
                    "principalId": principal.lower(),
                    "principalType": "User",
                    "createdOn": f"{self.tenant.today()}T00:00:00Z",
                    "updatedOn": f"{self.tenant.today()}T00:00:00Z",
                },
            },
        )
        self.tenant.assignments[scope, name.lower()] = assignment
        return self.answer(MODELS + "RoleAssignment", assignment, 201)

    def definition(self, id, scope):
        """Returns the id of a role as Azure writes it for this scope."""
        found = DEFINITION.fullmatch(id)
        if found is None or found[1].lower() not in ROLES:
            name = id.rsplit("/", 1)[-1]
            message = f"The specified role definition with ID '{name}' does not exist."
            raise Refusal(400, "RoleDefinitionDoesNotExist", message)
        # Built-in roles are shown below the subscription, and without a scope
        # at management groups.
        above = scope if scope.startswith("/subscriptions/") else ""
        return f"{above}/providers/Microsoft.Authorization/roleDefinitions/{found[1].lower()}"

    def check_principal(self, id, kind):
        if not re.fullmatch(GUID, id):
            raise Refusal(
                400, "InvalidPrincipalId", f"A valid principal ID must be provided, not '{id}'."
            )
        user = self.tenant.users.get(id.lower())
        # The directory of ARM learns of a new user later than Graph does.
        lags = user is not None and user.assignments_left > 0
        if lags:
            user.assignments_left -= 1
        if user is None or lags:
            message = (
                f"Principal {id} does not exist in the directory {self.tenant.id}. If you "
                "are creating this principal and then immediately assigning a role, this error "
                "might be related to a replication delay. In this case, set the role assignment "
                "principalType property to a value, such as ServicePrincipal, User, or Group."
            )
            raise Refusal(400, "PrincipalNotFound", message)
        if kind not in (None, "User"):
            message = f"The principal type '{kind}' does not match that of the principal, 'User'."
            raise Refusal(400, "UnmatchedPrincipalType", message)


def key(assignment):
    """Returns what makes two assignments the same: scope, role, principal."""
    properties = assignment["properties"]
    return properties["scope"], properties["roleDefinitionId"].lower(), properties["principalId"]
