"""Serve a project with the tests' own model until killed; prints the address. Arguments: PROJECT [VIDEO ...]."""

from __future__ import annotations

import sys

from flood import Flood

from vidseg.annotate import open_session
from vidseg.annotate.server import bind, serve

if __name__ == "__main__":
    with bind("127.0.0.1", 0) as listener, open_session(sys.argv[1], videos=sys.argv[2:], load=Flood) as session:
        serve(session, listener, host="127.0.0.1", ready=lambda address: print(address, flush=True))
