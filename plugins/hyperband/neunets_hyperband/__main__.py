"""`python -m neunets_hyperband`, started by the engine."""

from __future__ import annotations

from neunets.synthesizer import serve
from neunets_hyperband.first_day import SHIPPED, read_experiences
from neunets_hyperband.session import Hyperband

if __name__ == "__main__":
    raise SystemExit(serve(Hyperband(read_experiences(SHIPPED))))
