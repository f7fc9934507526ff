"""Requests, answers and refusals, as the two protocols of AWS write them."""

import json
import uuid
from dataclasses import dataclass, field
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

# Errors that the request frame of AWS raises before a service sees the call.
# Real ones carry this namespace, so that clients must strip it.
FRAME = "com.amazon.coral.service#"

# The same errors in the query protocol of STS, with their status in place of 400.
_QUERY_CODES = {
    "AccessDeniedException": ("AccessDenied", 403),
    "ExpiredTokenException": ("ExpiredToken", 403),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 403),
    "UnrecognizedClientException": ("InvalidClientTokenId", 403),
    "UnknownOperationException": ("InvalidAction", 400),
}


@dataclass
class Request:
    """A request to an endpoint. Names of headers are in lower case."""

    endpoint: object
    method: str
    # The path and the query.
    target: str
    headers: dict
    body: bytes

    @property
    def operation(self):
        """Returns the name of the called operation, or an empty string."""
        if self.endpoint.is_query:
            return self.form.get("Action", "")
        prefix, _, name = self.headers.get("x-amz-target", "").partition(".")
        return name if prefix == self.endpoint.model.metadata["targetPrefix"] else ""

    @property
    def form(self):
        """Returns the fields of a form. A repeated name keeps its last value."""
        text = self.body.decode("utf-8", "replace")
        return dict(parse_qsl(text, keep_blank_values=True))


@dataclass
class Answer:
    """A response."""

    status: int
    content_type: str
    body: bytes
    headers: dict = field(default_factory=dict)


class Refusal(Exception):
    """An error that AWS reports to the caller."""

    def __init__(self, type, message, *, status=400, frame=False, **members):
        super().__init__(f"{type}: {message}")
        self.type = type
        self.message = message
        self.status = status
        self.frame = frame
        self.members = members


def request_id():
    """Returns a fresh request id."""
    return str(uuid.uuid4())


def success(value):
    """Returns a response with a JSON value, without members that are null."""
    return _json(200, _without_null(value))


def refused(endpoint, refusal):
    """Returns the response for a refusal in the protocol of the endpoint."""
    if endpoint.is_query:
        return _xml(refusal)
    if refusal.frame:
        body = {"__type": FRAME + refusal.type, "message": refusal.message}
        return _json(refusal.status, body)
    body = {"__type": refusal.type, "Message": refusal.message, **refusal.members}
    headers = {}
    if endpoint.service == "identitystore":
        headers["x-amzn-errortype"] = refusal.type
    return _json(refusal.status, body, headers)


def _json(status, value, headers=None):
    body = json.dumps(value).encode()
    return Answer(status, "application/x-amz-json-1.1", body, headers or {})


def _xml(refusal):
    code, status = _QUERY_CODES.get(refusal.type, (refusal.type, refusal.status))
    status = status if refusal.status == 400 else refusal.status
    kind = "Receiver" if status >= 500 else "Sender"
    text = (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
        f"<Error><Type>{kind}</Type><Code>{escape(code)}</Code>"
        f"<Message>{escape(refusal.message)}</Message></Error>"
        f"<RequestId>{request_id()}</RequestId></ErrorResponse>"
    )
    return Answer(status, "text/xml", text.encode())


def _without_null(value):
    if isinstance(value, dict):
        return {k: _without_null(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    return value
