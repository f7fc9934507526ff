"""Runs the local AWS until its standard input is closed.

Prints one line of JSON with all URLs, keys and ids when it is ready.
"""

import argparse
import json
import sys

from .server import Servers
from .world import World


def main():
    """Serves until standard input ends, so that no test leaves a server behind."""
    parser = argparse.ArgumentParser(prog="mock_aws", description=__doc__)
    parser.add_argument(
        "--port", type=int, default=0, help="port of the control API; 0 means a free one"
    )
    servers = Servers(World(), parser.parse_args().port)
    servers.start()
    print(json.dumps(servers.document()), flush=True)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
