"""Faults that tests ask for.

A fault is taken by the first calls that it fits, `times` times, after `skip`
such calls. Every kind but `drop-before` and `slow` comes after the check of the
signature, so that a fault never hides a wrong one.
"""

import threading
from dataclasses import dataclass

from .answers import Refusal
from .signature import expired

# The kinds that need more than an error. They are explained in README.md.
DROP_BEFORE, DROP_AFTER, SLOW, SKEW, MALFORMED = (
    "drop-before",
    "drop-after",
    "slow",
    "skew",
    "malformed",
)
CREATION_FAILS, ASSIGNMENT_FAILS = "creation-fails", "assignment-fails"

# The only operations that these two fit.
_ONLY = {
    CREATION_FAILS: {"CreateAccount", "CreateGovCloudAccount"},
    ASSIGNMENT_FAILS: {"CreateAccountAssignment"},
}
_OTHERS = {DROP_BEFORE, DROP_AFTER, SLOW, SKEW, MALFORMED, CREATION_FAILS, ASSIGNMENT_FAILS}

# The longest delay of `slow`, and the longest hold of a connection, so that
# neither outlasts a test.
SLOW_MAX_SECONDS = 120

# The throttling errors of each service, which all have the status 400.
_THROTTLES = {
    "organizations": ("TooManyRequestsException", {}),
    "identitystore": ("ThrottlingException", {"RetryAfterSeconds": 1}),
    "sso": ("ThrottlingException", {}),
    "ce": ("LimitExceededException", {}),
    "sts": ("Throttling", {}),
}

_INTERNAL = {
    "organizations": "ServiceException",
    "identitystore": "InternalServerException",
    "sso": "InternalServerException",
}


def _throttled(endpoint):
    type, members = _THROTTLES[endpoint.service]
    return Refusal(type, "Rate exceeded", **members)


def _denied(endpoint):
    text = f"User is not authorized to perform this operation of {endpoint.service}"
    return Refusal("AccessDeniedException", text)


_REFUSALS = {
    "throttle-400": _throttled,
    "access-denied": _denied,
    "500": lambda endpoint: Refusal(
        _INTERNAL.get(endpoint.service, "InternalFailure"), "Internal failure", status=500
    ),
    "503": lambda _: Refusal(
        "ServiceUnavailableException", "Service unavailable", status=503, frame=True
    ),
    "expired-token": lambda _: expired(),
    "invalid-token": lambda _: Refusal(
        "UnrecognizedClientException",
        "The security token included in the request is invalid.",
        frame=True,
    ),
    "conflict": lambda _: Refusal("ConflictException", "The request conflicts; try again"),
    "concurrent": lambda _: Refusal(
        "ConcurrentModificationException", "The target of the operation is in use"
    ),
}

_FIELDS = {
    "kind", "operation", "endpoint", "times", "skip", "seconds",
    "type", "message", "status", "reason", "effect", "held",
}  # fmt: skip


@dataclass
class Fault:
    """A fault for some calls."""

    kind: str
    # The name of an operation, or `*`.
    operation: str = "*"
    # The name of an endpoint, or `*`.
    endpoint: str = "*"
    times: int = 1
    skip: int = 0
    # The delay of `slow`, or the lead of the clock of `skew`.
    seconds: float = 600.0
    # These change the error.
    type: str | None = None
    message: str | None = None
    status: int | None = None
    reason: str | None = None
    # The request takes effect before it is answered with the error.
    effect: bool = False
    # The connection is open until it is released, then it is dropped.
    held: bool = False

    @classmethod
    def parse(cls, value):
        """Returns a fault. Raises ValueError if the value describes none."""
        unknown = set(value) - _FIELDS
        if unknown:
            raise ValueError(f"a fault has no {', '.join(sorted(unknown))}")
        fault = cls(**value)
        known = _OTHERS | set(_REFUSALS) | {"error"}
        if fault.kind not in known:
            raise ValueError(f"`kind` must be one of {', '.join(sorted(known))}")
        if fault.kind == "error" and fault.type is None:
            raise ValueError("an `error` needs a `type`")
        if fault.kind == SLOW and not 0 <= fault.seconds <= SLOW_MAX_SECONDS:
            raise ValueError(f"`seconds` must be at most {SLOW_MAX_SECONDS}")
        if fault.held and fault.kind not in (DROP_BEFORE, DROP_AFTER):
            raise ValueError(f"`held` is for {DROP_BEFORE} and {DROP_AFTER}")
        return fault

    def fits(self, endpoint, operation):
        """Returns true if the fault is for such calls."""
        return (
            self.operation in ("*", operation)
            and self.endpoint in ("*", endpoint.name)
            and operation in _ONLY.get(self.kind, {operation})
        )

    def refusal(self, endpoint):
        """Returns the refusal, or None for a kind that is no error."""
        if self.kind in _OTHERS:
            return None
        make = _REFUSALS.get(self.kind, lambda _: Refusal(self.type, "A test asked for this"))
        refusal = make(endpoint)
        refusal.type = self.type or refusal.type
        refusal.message = self.message or refusal.message
        refusal.status = self.status or refusal.status
        if self.reason:
            refusal.members["Reason"] = self.reason
        return refusal


class Faults:
    """The faults that are still to come."""

    def __init__(self):
        self._waiting = []
        self._released = threading.Event()

    def add(self, fault):
        """Adds a fault behind the others."""
        self._waiting.append(fault)
        self._released.clear()

    def take(self, endpoint, operation):
        """Returns the fault for a call, or None."""
        for fault in self._waiting:
            if not fault.fits(endpoint, operation):
                continue
            if fault.skip > 0:
                fault.skip -= 1
                continue
            fault.times -= 1
            if fault.times <= 0:
                self._waiting.remove(fault)
            return fault
        return None

    def hold(self):
        """Waits until held connections are released."""
        self._released.wait(SLOW_MAX_SECONDS)

    def release(self):
        """Lets held connections go on."""
        self._released.set()

    def waiting(self):
        """Returns the faults that no call has taken yet, for a report."""
        return [vars(fault) for fault in self._waiting]
