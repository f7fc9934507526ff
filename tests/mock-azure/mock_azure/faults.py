"""Faults that a test asks for, each for some calls of one operation."""

import threading

from .http import Refusal

KINDS = [
    "throttle-429",
    "500",
    "503",
    "409",
    "expired-token",
    "access-denied",
    "error",
    "slow",
    "drop-before",
    "drop-after",
    "no-content",
    "malformed",
]

# The longest hold of a call, so that a forgotten one does not stay for ever.
HOLD_MAX_S = 120


class Faults:
    """Faults in the order in which they were asked for."""

    def __init__(self):
        self.pending = []
        self.released = threading.Event()

    def add(self, fault):
        """Adds `{operation, kind, times, skip, …}`. `operation` may be `*`,
        `times` is 1 if missing, and `skip` calls pass before the first.
        Raises `ValueError` if the kind is not known."""
        if fault.get("kind") not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(KINDS)}")
        if not isinstance(fault.get("operation"), str):
            raise ValueError("`operation` is missing")
        self.pending.append({"times": 1, "skip": 0, **fault})
        self.released.clear()

    def take(self, operation):
        """Returns the fault for this call, and counts it. Returns `None` if
        there is none."""
        for fault in self.pending:
            if fault["operation"] not in ("*", operation):
                continue
            if fault["skip"] > 0:
                fault["skip"] -= 1
                continue
            fault["times"] -= 1
            if fault["times"] <= 0:
                self.pending.remove(fault)
            return fault
        return None

    def release(self):
        """Lets held calls go on."""
        self.released.set()

    def hold(self, fault):
        self.released.wait(fault.get("seconds", HOLD_MAX_S))


def refuse(fault, service, operation):
    """Raises the refusal that a fault stands for. Returns if it stands for none."""
    kind = fault["kind"]
    if kind == "throttle-429":
        raise service.throttle(fault, operation)
    if kind == "500":
        raise Refusal(500, "InternalServerError", "Encountered internal server error.")
    if kind == "503":
        message = "The service is temporarily unavailable. Please retry the request."
        raise Refusal(503, "ServiceUnavailable", message)
    if kind == "409":
        raise Refusal(409, fault.get("code", "Conflict"), fault.get("message", "Conflict."))
    if kind == "error":
        headers = list(fault.get("headers", {}).items())
        raise Refusal(fault["status"], fault["code"], fault.get("message", ""), headers)
    if kind == "access-denied":
        raise service.access_denied(fault)
