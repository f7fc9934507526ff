"""Long-running operations of Azure Resource Manager, in the four forms that
azure-core's pollers know.

- `async-operation`: the answer has `Azure-AsyncOperation` (and `Location`);
  the client reads `status` there, then gets the resource.
- `location`: the answer has `Location`, which answers 202 until it is done.
- `resource`: the resource itself shows `properties.provisioningState`.
- `status`: the first answer is the last.
"""

import uuid
from dataclasses import dataclass
from dataclasses import field
from typing import Callable

from .http import Refusal
from .http import Response

CASES = {
    "documented": str,
    "upper": str.upper,
    "lower": str.lower,
    "swapped": str.swapcase,
}


@dataclass
class Operation:
    """Work that ends after a number of polls."""

    rules: dict
    # Applies the effect, if the operation succeeds.
    finish: Callable[[], None]
    # Returns the resource as a GET would.
    resource: Callable[[], dict]
    # Where its own pages are, and the version in their addresses.
    provider: str
    version: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    polls_left: int = 0
    outcome: str | None = None

    def __post_init__(self):
        self.polls_left = self.rules["polls"]

    @property
    def form(self):
        return self.rules["form"]

    @property
    def error(self):
        """The error of a failed operation."""
        given = self.rules["outcome"]
        if isinstance(given, dict):
            return {"code": given["code"], "message": given.get("message", "")}
        return {"code": f"Operation{given}", "message": f"The operation ended as {given}."}

    def poll(self):
        """Counts a poll, and ends the operation when the polls are used up."""
        if self.outcome is not None:
            return
        if self.polls_left > 0:
            self.polls_left -= 1
            return
        self.end()

    def end(self):
        given = self.rules["outcome"]
        self.outcome = "Failed" if isinstance(given, dict) else given
        if self.outcome == "Succeeded":
            self.finish()

    def word(self, running):
        """Returns the state in the case that the rules ask for."""
        return CASES[self.rules["words"]](self.outcome or running)

    def links(self, base):
        """Returns the headers that lead to this operation."""
        query = f"?api-version={self.version}"
        status = f"{base}{self.provider}/operationStatuses/{self.id}{query}"
        result = f"{base}{self.provider}/operationResults/{self.id}{query}"
        headers = {
            "async-operation": [("Azure-AsyncOperation", status), ("Location", result)],
            "location": [("Location", result)],
        }
        return headers.get(self.form, []) + self.retry_after()

    def retry_after(self):
        seconds = self.rules["retry_after_s"]
        return [] if seconds is None else [("Retry-After", str(seconds))]

    def first_answer(self, base):
        """Answers the request that started it."""
        if self.form == "status":
            self.end()
            if self.outcome != "Succeeded":
                raise Refusal(400, **self.error)
            return Response(200, self.resource())
        body = self.resource()
        return Response(self.rules["status"], body, self.links(base))

    def status_answer(self, base):
        """Answers a GET of `Azure-AsyncOperation`."""
        self.poll()
        body = {"id": f"{self.provider}/operationStatuses/{self.id}", "name": self.id}
        body["status"] = self.word("InProgress")
        if self.outcome not in (None, "Succeeded"):
            body["error"] = self.error
        return Response(200, body, self.retry_after() if self.outcome is None else [])

    def result_answer(self, base):
        """Answers a GET of `Location`."""
        self.poll()
        if self.outcome is None:
            return Response(202, None, self.links(base))
        if self.outcome != "Succeeded":
            raise Refusal(400, **self.error)
        return Response(200, self.resource())
