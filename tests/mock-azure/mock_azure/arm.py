"""Azure Resource Manager: the checks that hold for every call, and the routes
of the resource providers."""

import re

from . import aliases
from . import management_groups
from .aliases import Aliases
from .costs import Costs
from .costs import throttled_costs
from .http import Refusal
from .management_groups import ManagementGroups
from .roles import Roles
from .routes import Route
from .service import Service
from .subscriptions import Subscriptions


class Arm(Service):
    """The port of Azure Resource Manager."""

    name = "arm"
    throttled = (
        "TooManyRequests",
        "The request is being throttled as the limit has been reached for this operation.",
    )

    def routes(self):
        providers = [ManagementGroups, Aliases, Subscriptions, Roles, Costs]
        routes = [route for provider in providers for route in provider(self).routes()]
        # The pages of long-running operations are the same for each provider.
        for provider in (management_groups, aliases):
            for pages, function in (
                ("operationStatuses", self.operation_status),
                ("operationResults", self.operation_result),
            ):
                page = re.escape(provider.PROVIDER) + f"/{pages}/(?P<id>[^/]+)"
                routes.append(Route("GET", page, f"{pages}.get", function, (provider.VERSION,)))
        return routes

    def authenticate(self, request):
        authorization = request.headers.get("authorization")
        if authorization is None:
            text = "Authentication failed. The 'Authorization' header is missing."
            raise self.unauthorized("AuthenticationFailed", text)
        claims = self.tenant.tokens.find(authorization)
        if claims is None:
            raise self.unauthorized("InvalidAuthenticationToken", "The access token is invalid.")
        if claims["audience"] != "arm":
            text = "The access token has been obtained for wrong audience or resource "
            text += f"'{claims['aud']}'. It should exactly match with one of the allowed audiences "
            text += "'https://management.core.usgovcloudapi.net/', 'https://management.azure.com/'."
            raise self.unauthorized("InvalidAuthenticationTokenAudience", text)
        if self.tenant.tokens.is_expired(claims):
            text = "The access token expiry UTC time is earlier than current UTC time."
            raise self.unauthorized("ExpiredAuthenticationToken", text)
        return claims

    def unauthorized(self, code, message):
        challenge = (
            f'Bearer authorization_uri="{self.world.urls["token"]}/{self.tenant.id}", '
            f'error="invalid_token", error_description="{message}"'
        )
        return Refusal(401, code, message, [("WWW-Authenticate", challenge)])

    def throttle(self, fault, operation):
        if operation == "costs.query":
            return throttled_costs(fault)
        return super().throttle(fault, operation)

    def access_denied(self, fault):
        default = (
            "The client does not have authorization to perform the action over the scope, or the "
            "scope is invalid. If access was recently granted, please refresh your credentials."
        )
        code = fault.get("code", "AuthorizationFailed")
        return Refusal(403, code, fault.get("message", default))

    def not_found(self, request):
        # ARM asks for the version before it looks for the resource.
        if not request.parameter("api-version"):
            message = (
                "The api-version query parameter (?api-version=) is required for all requests."
            )
            return Refusal(400, "MissingApiVersionParameter", message)
        message = f"The resource type could not be found for '{request.path}'."
        return Refusal(404, "InvalidResourceType", message)

    def operation_status(self, request, caller, id):
        return self.operation(id).status_answer(self.url)

    def operation_result(self, request, caller, id):
        return self.operation(id).result_answer(self.url)

    def operation(self, id):
        operation = self.tenant.operations.get(id)
        if operation is None:
            raise Refusal(404, "OperationNotFound", f"The operation '{id}' was not found.")
        return operation
