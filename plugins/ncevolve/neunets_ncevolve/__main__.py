"""`python -m neunets_ncevolve`, started by the engine."""

from __future__ import annotations

from neunets.synthesizer import serve
from neunets_ncevolve.evolution import NCEvolve

if __name__ == "__main__":
    raise SystemExit(serve(NCEvolve()))
