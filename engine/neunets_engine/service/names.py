"""Resource names: `runs/ID`, `runs/ID/models/TRIAL`, `datasets/SHA256`."""

from __future__ import annotations

from neunets.errors import InvalidRequest
from neunets.sentences import LONGEST

__all__ = ["check_request_id", "model_name", "run_id_of", "trial_of"]


def run_id_of(name: str) -> str:
    """Id in "runs/ID". Raises: InvalidRequest."""
    collection, _, run_id = name.partition("/")
    if collection != "runs" or not run_id or "/" in run_id:
        raise InvalidRequest("name", f"{name!r} is not of the form runs/ID")
    return run_id


def trial_of(name: str) -> tuple[str, str]:
    """(run id, trial) of "runs/ID/models/TRIAL". Raises: InvalidRequest."""
    parts = name.split("/")
    if len(parts) != 4 or parts[0] != "runs" or parts[2] != "models" or not parts[1] or not parts[3]:
        raise InvalidRequest("name", f"{name!r} is not of the form runs/ID/models/TRIAL")
    return parts[1], parts[3]


def check_request_id(request_id: str) -> None:
    """Raises: InvalidRequest."""
    if (size := len(request_id.encode())) > LONGEST:
        raise InvalidRequest("request_id", f"{size} bytes, at most {LONGEST} are possible: take a UUID")


def model_name(run_id: str, trial: str) -> str:
    return f"runs/{run_id}/models/{trial}"
