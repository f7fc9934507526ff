"""HTTP as the services see it: a request, a response, and a socket server."""

import json
import sys
import traceback
from dataclasses import dataclass
from dataclasses import field
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qsl
from urllib.parse import unquote
from urllib.parse import urlsplit

# Azure Resource Manager refuses larger bodies, too, at 4 MB; none of the
# operations here needs more than a few kilobytes.
BODY_MAX = 1 << 20


class Drop(Exception):
    """Closes the connection without an answer."""


class Refusal(Exception):
    """An answer that refuses a request, with a code as the service has it."""

    def __init__(self, status, code, message, headers=()):
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.headers = list(headers)


@dataclass
class Request:
    """A request that arrived, with its path decoded."""

    method: str
    path: str
    query: list
    headers: dict
    body: bytes

    def parameter(self, name):
        """Returns the first value of a query parameter, whose name matches in
        any case. Returns `None` if it is missing."""
        found = (value for key, value in self.query if key.lower() == name.lower())
        return next(found, None)

    def json(self):
        """Returns the body as JSON; refuses anything else."""
        media_type = self.headers.get("content-type", "").split(";")[0].strip().lower()
        if media_type != "application/json":
            raise Refusal(
                415,
                "UnsupportedMediaType",
                f"The content media type '{media_type}' is not supported.",
            )
        try:
            return json.loads(self.body)
        except ValueError as error:
            message = f"The request content was invalid and could not be deserialized: '{error}'."
            raise Refusal(400, "InvalidRequestContent", message) from error

    def form(self):
        """Returns the body as the fields of a form; the first of a name counts."""
        fields = {}
        for name, value in parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True):
            fields.setdefault(name, value)
        return fields


@dataclass
class Response:
    """An answer. A body of `None` sends none; `text` is sent as HTML in its
    place."""

    status: int
    body: object = None
    headers: list = field(default_factory=list)
    text: str | None = None


class Listener(ThreadingHTTPServer):
    """A port of loopback that gives each request to one function."""

    daemon_threads = True
    # Connections of a test that is over must not delay the end.
    block_on_close = False

    def __init__(self, port, answer):
        super().__init__(("127.0.0.1", port), Handler)
        self.answer = answer

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """Ignores clients that close their connections early."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Reads requests from one connection."""

    protocol_version = "HTTP/1.1"
    # Headers and body leave in separate writes, which Nagle's algorithm would
    # hold back for the client's delayed acknowledgement.
    disable_nagle_algorithm = True

    def serve(self):
        target = urlsplit(self.path)
        length = self.headers.get("content-length") or "0"
        if "transfer-encoding" in self.headers or not length.isdigit():
            self.refuse(411, "The mock reads bodies with a length only.")
            return
        if int(length) > BODY_MAX:
            self.refuse(413, f"The body is longer than {BODY_MAX} bytes.")
            return
        request = Request(
            method=self.command,
            path=unquote(target.path),
            query=parse_qsl(target.query, keep_blank_values=True),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(length)),
        )
        try:
            response = self.server.answer(request)
        except Drop:
            self.close_connection = True
            return
        except Exception as error:
            # An error of the mock must not pass for a fault that a test asked for.
            traceback.print_exc()
            self.refuse(500, f"The mock failed: {error!r}")
            return
        self.send(response)

    def refuse(self, status, message):
        """Answers without the service, and closes the connection, which may
        still have the request's body."""
        self.close_connection = True
        self.send(Response(status, {"error": {"code": "MockAzure", "message": message}}))

    def send(self, response):
        body = (response.text or "").encode()
        if response.body is not None:
            body = json.dumps(response.body).encode()
        self.send_response(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        if response.text is not None:
            self.send_header("Content-Type", "text/html")
        elif response.body is not None:
            self.send_header("Content-Type", "application/json; charset=utf-8")
        if response.status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = serve

    def log_message(self, format, *arguments):
        """Keeps the output for the line that names the ports."""
