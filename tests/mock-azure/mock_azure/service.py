"""Work that is the same for every call: records, faults, routes, errors."""

import uuid
from datetime import datetime
from datetime import timezone

from .faults import refuse
from .http import Drop
from .http import Refusal
from .http import Response

# Headers and fields whose values are credentials, and never go into the records.
SECRET_HEADERS = ["authorization"]
SECRET_FIELDS = ["client_secret", "client_assertion"]
# A proxy's page in place of JSON.
MALFORMED = "<html><body>Service Unavailable</body></html>"


class Service:
    """One port: a table of routes over the state of the tenant.

    A subclass has `name`, `throttled` (code and message of a 429),
    `routes()`, `authenticate`, `access_denied`, and may render errors.
    """

    def __init__(self, world):
        self.world = world
        self.table = self.routes()

    @property
    def tenant(self):
        return self.world.tenant

    @property
    def url(self):
        return self.world.urls[self.name]

    def answer(self, request):
        """Answers a request, and keeps a record of both."""
        route, parameters = self.find(request)
        call = self.record(request, route)
        try:
            response = self.respond(request, route, parameters, call)
        except Refusal as refusal:
            response = self.render(refusal)
        except Drop:
            self.note(call, answer="dropped")
            raise
        self.note(call, answer=response.status)
        response.headers.append(("x-ms-request-id", str(uuid.uuid4())))
        return response

    def note(self, call, **facts):
        """Adds to a record, which another thread may be reading."""
        with self.world.lock:
            call.update(facts)

    def find(self, request):
        for route in self.table:
            found = route.match(request)
            if found is not None:
                return route, found
        return None, {}

    def record(self, request, route):
        call = {
            "service": self.name,
            "operation": route.operation if route else None,
            "method": request.method,
            "path": request.path,
            "query": [list(pair) for pair in request.query],
            "headers": dict(request.headers),
            "body": recorded_body(request),
            "credential": self.tenant.tokens.describe(request.headers.get("authorization")),
            "at": datetime.now(timezone.utc).isoformat(),
        }
        for name in SECRET_HEADERS:
            if name in call["headers"]:
                call["headers"][name] = "<secret>"
        with self.world.lock:
            self.tenant.calls.append(call)
        return call

    def respond(self, request, route, parameters, call):
        with self.world.lock:
            fault = self.tenant.faults.take(call["operation"]) if route else None
        fault = fault or {"kind": None}
        if fault["kind"]:
            self.note(call, fault=fault["kind"])
        if fault["kind"] == "slow":
            # Outside the lock: the other calls go on.
            self.tenant.faults.hold(fault)
        if fault["kind"] == "drop-before":
            self.drop(fault, call)
        if not fault.get("effect"):
            refuse(fault, self, call["operation"])
        try:
            response = self.carry_out(request, route, parameters, fault)
        except Refusal:
            # The client does not learn of a refusal either.
            if fault["kind"] == "drop-after":
                self.drop(fault, call)
            raise
        # The effect stays, and the client does not learn of it.
        refuse(fault, self, call["operation"])
        if fault["kind"] == "drop-after":
            self.drop(fault, call)
        if fault["kind"] == "malformed":
            return Response(response.status, headers=response.headers, text=MALFORMED)
        return response

    def carry_out(self, request, route, parameters, fault):
        with self.world.lock:
            if fault["kind"] == "expired-token":
                self.tenant.tokens.revoke(request.headers.get("authorization"))
            caller = self.authenticate(request)
            if route is None:
                raise self.not_found(request)
            if fault["kind"] == "no-content":
                return Response(204)
            return route.handle(request, caller, **parameters)

    def drop(self, fault, call):
        """Raises `Drop`, after the release if the fault holds the connection."""
        if fault.get("held"):
            self.note(call, held=True)
            self.tenant.faults.hold(fault)
            self.note(call, held=False)
        raise Drop

    def render(self, refusal):
        error = {"code": refusal.code, "message": refusal.message}
        return Response(refusal.status, {"error": error}, refusal.headers)

    def throttle(self, fault, operation):
        """Returns the refusal of a throttled call. `retry_after_s` is 0 if
        missing; null leaves the header out. `headers` come on top."""
        seconds = fault.get("retry_after_s", 0)
        headers = [] if seconds is None else [("Retry-After", str(seconds))]
        return Refusal(429, *self.throttled, headers + list(fault.get("headers", {}).items()))

    def not_found(self, request):
        return Refusal(404, "NotFound", f"No route for {request.method} {request.path}.")


def recorded_body(request):
    """Returns a body for the records: JSON parsed, a form without its secrets,
    `None` if the request had no body and no length."""
    if not request.body:
        return "" if "content-length" in request.headers else None
    if "form" in request.headers.get("content-type", ""):
        return {
            name: "<secret>" if name in SECRET_FIELDS else value
            for name, value in request.form().items()
        }
    try:
        return request.json()
    except Refusal:
        return request.body.decode("utf-8", "replace")
