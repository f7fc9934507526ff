"""Starts the mock:

    python -m mock_azure --port 0

Prints one line of JSON when all ports listen: the URLs `token`, `arm`, `graph`
and `control`, and `tenant`, `client_id` and `client_secret` of the application
that exists from the start. Ends when its standard input is closed, so that no
test leaves a server behind.
"""

import argparse
import json
import sys
import threading

from .arm import Arm
from .control import Control
from .graph import Graph
from .http import Listener
from .identity import Identity
from .world import World

SERVICES = {"token": Identity, "arm": Arm, "graph": Graph, "control": Control}


def start(port=0):
    """Starts the services on consecutive ports, or on free ones if `port` is 0.
    They serve until the process ends. Returns the world that they share."""
    world = World()
    listeners = []
    for index, (name, service) in enumerate(SERVICES.items()):
        listener = Listener(port and port + index, service(world).answer)
        world.urls[name] = listener.url
        listeners.append(listener)
    for listener in listeners:
        threading.Thread(target=listener.serve_forever, daemon=True).start()
    return world


def main():
    parser = argparse.ArgumentParser(prog="mock_azure", description="Azure on loopback, for tests.")
    parser.add_argument(
        "--port", type=int, default=0, help="first of four ports; 0 means free ones"
    )
    world = start(parser.parse_args().port)
    print(json.dumps(world.facts()), flush=True)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
