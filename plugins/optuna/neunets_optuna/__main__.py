"""`python -m neunets_optuna`, started by the engine."""

from __future__ import annotations

from neunets.synthesizer import serve
from neunets_optuna.search import OptunaSearch

if __name__ == "__main__":
    raise SystemExit(serve(OptunaSearch()))
