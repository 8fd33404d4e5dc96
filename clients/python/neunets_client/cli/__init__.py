"""The command line: `app.py` lists the commands, the modules beside it have them by noun."""

from neunets_client.cli.app import main

__all__ = ["main"]
