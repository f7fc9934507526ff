"""Routes: a method and a pattern of the path that lead to an operation."""

import re

from .http import Refusal

GUID = r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"

# A management group or a subscription, as the start of a path.
SCOPE = (
    r"(?P<scope>/providers/Microsoft\.Management/managementGroups/[^/]+"
    r"|/subscriptions/[^/]+)"
)


class Route:
    """An operation of a service. Paths match in any case, as Azure's do."""

    def __init__(self, method, pattern, operation, function, versions=(), action=""):
        self.method = method
        self.pattern = re.compile(pattern + "/?", re.IGNORECASE)
        self.operation = operation
        self.function = function
        self.versions = versions
        # The permission that it needs, for messages of refusals.
        self.action = action

    def match(self, request):
        """Returns the parameters in the path, or `None` if it does not match."""
        if request.method != self.method:
            return None
        found = self.pattern.fullmatch(request.path)
        return found and found.groupdict()

    def handle(self, request, caller, **parameters):
        if self.versions:
            self.check_version(request)
        return self.function(request, caller, **parameters)

    def check_version(self, request):
        version = request.parameter("api-version")
        if not version:
            message = (
                "The api-version query parameter (?api-version=) is required for all requests."
            )
            raise Refusal(400, "MissingApiVersionParameter", message)
        if version not in self.versions:
            message = (
                f"No registered resource provider found for API version '{version}' "
                f"for type '{self.operation.split('.')[0]}'. "
                f"The supported api-versions are '{', '.join(self.versions)}'."
            )
            raise Refusal(400, "NoRegisteredProviderFound", message)
