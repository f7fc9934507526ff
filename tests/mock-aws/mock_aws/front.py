"""Takes a request through all checks to the operation that answers it."""

import json
import time
from email.utils import formatdate

from . import accounts, costs, faults, handshakes, identity, organizations, sts
from .answers import Answer, Refusal, refused, request_id, success
from .keys import AccessKey
from .signature import verify
from .validation import check_input, check_output
from .world import Call

# The operations of each service that differ from those of moto.
_OWN = {
    "organizations": {
        **organizations.OPERATIONS,
        **accounts.OPERATIONS,
        **handshakes.OPERATIONS,
    },
    "sso": identity.OPERATIONS,
    "identitystore": {},
    "ce": costs.OPERATIONS,
}

# The other operations, which moto answers alone.
_MOTO = {
    "organizations": Call.moto,
    "sso": identity.moto_center,
    "identitystore": identity.moto_store,
}

# The operations that need no signature.
_UNSIGNED = {"AssumeRoleWithWebIdentity"}

# The calls that are kept for `GET /control/calls`.
CALLS_MAX = 100_000


class Cut(Exception):
    """A connection that is to be closed without an answer."""


class Front:
    """Answers requests to all endpoints."""

    def __init__(self, world):
        self._world = world

    def answer(self, request):
        """Returns the answer to a request. Raises `Cut` if a fault asks for it."""
        world = self._world
        with world.lock:
            fault = world.faults.take(request.endpoint, request.operation)
            record = self._record(request, fault)
            held_by = world.faults
        kind = fault and fault.kind
        if kind == faults.SLOW:
            time.sleep(fault.seconds)
        if kind == faults.DROP_BEFORE:
            self._cut(fault, record, held_by)
        with world.lock:
            lead = fault.seconds if kind == faults.SKEW else 0
            now = world.now() + lead
            try:
                answer = self._checked(request, fault, now, record)
                record["accepted"] = True
            except Refusal as refusal:
                record["error"] = refusal.type
                answer = refused(request.endpoint, refusal)
            if kind != faults.DROP_AFTER:
                record["status"] = answer.status
        if kind == faults.DROP_AFTER:
            self._cut(fault, record, held_by)
        if kind == faults.MALFORMED:
            answer = Answer(answer.status, answer.content_type, b"<html>not an answer")
        answer.headers["x-amzn-requestid"] = record["request_id"]
        answer.headers["date"] = formatdate(now, usegmt=True)
        return answer

    def _cut(self, fault, record, held_by):
        """Raises `Cut`, after the release if the fault holds the connection."""
        if fault.held:
            # Outside the lock: the other calls go on.
            self._note_held(record, True)
            held_by.hold()
            self._note_held(record, False)
        raise Cut

    def _note_held(self, record, held):
        with self._world.lock:
            record["held"] = held

    def _record(self, request, fault):
        world = self._world
        record = {
            "number": len(world.calls) + 1,
            "request_id": request_id(),
            "endpoint": request.endpoint.name,
            "service": request.endpoint.service,
            "region": request.endpoint.region,
            "method": request.method,
            "target": request.target,
            "operation": request.operation,
            "headers": {k: v for k, v in request.headers.items() if k != "authorization"},
            "body": _parsed(request),
            "access_key": None,
            "account": None,
            "caller": None,
            "fault": fault and fault.kind,
            # True while the connection is held.
            "held": False,
            # None means that no answer was sent.
            "status": None,
            "accepted": False,
            "error": None,
        }
        assert record["number"] <= CALLS_MAX, "too many calls; reset the mock"
        world.calls.append(record)
        return record

    def _checked(self, request, fault, now, record):
        world, endpoint = self._world, request.endpoint
        unsigned = endpoint.is_query and request.operation in _UNSIGNED
        if unsigned:
            partition = endpoint.partition
            caller = AccessKey("", "", partition, "000000000000", "", frozenset({"sts"}))
        else:
            caller = verify(request, world.keyring, now)
            record.update(access_key=caller.id, account=caller.account, caller=caller.arn)
        model = endpoint.operation(request.operation)
        if request.method != "POST" or request.target != "/" or model is None:
            raise Refusal("UnknownOperationException", "Unknown operation", frame=True)
        parameters = _parameters(request)
        _check_rights(endpoint, request.operation, caller)
        check_input(endpoint, model, parameters)
        refusal = fault.refusal(endpoint) if fault is not None else None
        if refusal is not None and not fault.effect:
            raise refusal
        call = Call(world, endpoint, request.operation, parameters, caller, fault)
        answer = self._performed(call, model, request.body)
        if refusal is not None:
            record["accepted"] = True
            raise refusal
        return answer

    def _performed(self, call, model, body):
        service = call.endpoint.service
        if service == "sts":
            operation = sts.OPERATIONS.get(call.operation)
            if operation is None:
                raise Refusal("InvalidAction", f"The mock has no {call.operation}")
            return operation(call, body)
        operation = _OWN[service].get(call.operation) or _MOTO.get(service)
        if operation is None:
            raise Refusal("InternalFailure", f"the mock has no {call.operation}", status=501)
        answer = success(operation(call))
        check_output(model, json.loads(answer.body))
        return answer


def _check_rights(endpoint, operation, caller):
    allowed = endpoint.service in caller.services
    if allowed and endpoint.service == "organizations" and caller.is_member:
        allowed = operation in handshakes.MEMBER_OPERATIONS
    if not allowed:
        text = f"User: {caller.arn} is not authorized to perform: {endpoint.service}:{operation}"
        raise Refusal("AccessDeniedException", text)


def _parameters(request):
    if request.endpoint.is_query:
        fields = {k: v for k, v in request.form.items() if k != "Action"}
        version = request.endpoint.model.metadata["apiVersion"]
        if fields.pop("Version", None) != version:
            raise Refusal("InvalidAction", f"The version must be {version}")
        if "DurationSeconds" in fields:
            digits = fields["DurationSeconds"]
            if not digits.isdecimal():
                raise Refusal("ValidationError", "DurationSeconds is not a number")
            fields["DurationSeconds"] = int(digits)
        return fields
    if request.headers.get("content-type") != "application/x-amz-json-1.1":
        text = "The content type must be application/x-amz-json-1.1"
        raise Refusal("UnknownOperationException", text, frame=True)
    value = _parsed(request)
    if not isinstance(value, dict):
        raise Refusal("SerializationException", "The body is not a JSON object", frame=True)
    # AWS takes null for a parameter that is missing.
    return {name: member for name, member in value.items() if member is not None}


def _parsed(request):
    """Returns the body as JSON or fields. Returns None if it is neither."""
    if request.endpoint.is_query:
        return request.form
    try:
        return json.loads(request.body)
    except ValueError:
        return None
