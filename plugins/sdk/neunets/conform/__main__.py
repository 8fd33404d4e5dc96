"""`python -m neunets.conform`."""

from __future__ import annotations

from neunets.conform.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
