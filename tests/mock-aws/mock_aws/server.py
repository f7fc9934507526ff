"""HTTP servers on loopback: one for each endpoint, and one for control."""

import socket
import sys
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from .answers import Answer, Request
from .control import Control
from .endpoints import ENDPOINTS
from .front import Cut, Front

# The largest body of a request.
BODY_MAX = 1 << 20

# The longest time in which a connection may be idle.
IDLE_SECONDS = 60


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port, respond):
        self.respond = respond
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self):
        # The base class asks the resolver for the name of the host.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address

    @property
    def url(self):
        """Returns the base URL, without a slash at the end."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    # Otherwise each answer waits for an acknowledgement of its header.
    disable_nagle_algorithm = True

    def handle_one_request(self):
        """Answers a request with any method."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        length = self.headers.get("content-length", "0")
        if "transfer-encoding" in self.headers or not length.isdecimal():
            return self._send(Answer(411, "text/plain", b"a Content-Length is needed"), last=True)
        if int(length) > BODY_MAX:
            return self._send(Answer(413, "text/plain", b"the body is too large"), last=True)
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return
        # A repeated header counts as one with all values, as in signatures.
        headers = {}
        for name, value in self.headers.items():
            name = name.lower()
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        try:
            answer = self.server.respond(self.command, self.path, headers, body)
        except Cut:
            self.close_connection = True
            return
        except Exception:
            traceback.print_exc(file=sys.stderr)
            answer = Answer(500, "text/plain", traceback.format_exc().encode())
        self._send(answer)

    def handle(self):
        """Serves a connection until the client closes it or is silent."""
        try:
            super().handle()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def _send(self, answer, last=False):
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        if last:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)


class Servers:
    """All servers, each with its own thread."""

    def __init__(self, world, port):
        """Binds all ports: control `port`, or a free one for 0."""
        self._world = world
        front = Front(world)
        control = Control(world, self.document)
        self._control = _Server(
            port, lambda method, path, _, body: control.answer(method, path, body)
        )
        self._endpoints = {
            endpoint.name: _Server(0, _responder(front, endpoint)) for endpoint in ENDPOINTS
        }

    def start(self):
        """Starts to serve, until the process ends."""
        for server in [self._control, *self._endpoints.values()]:
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def document(self):
        """Returns endpoints, keys and ids for clients."""
        endpoints = {
            endpoint.name: {
                "url": self._endpoints[endpoint.name].url,
                "service": endpoint.service,
                "region": endpoint.region,
                "partition": endpoint.partition,
            }
            for endpoint in ENDPOINTS
        }
        return {"control": self._control.url, "endpoints": endpoints, **self._world.facts()}


def _responder(front, endpoint):
    return lambda method, path, headers, body: front.answer(
        Request(endpoint, method, path, headers, body)
    )
