"""Checks settings against a plugin's schema, as a process of its own: both are strangers', and may take for ever.

Run as a script: `python -P schema_check.py`, with {"schema", "settings"} on stdin. It answers one JSON object:
{} where all is well; {"fault"} for a schema that cannot be used; {"path", "error"} for settings that it refuses.
"""

from __future__ import annotations

import json
import resource
import sys
from typing import Any, Final

import jsonschema
import referencing
import referencing.exceptions

CPU_S: Final = 10
MEMORY_BYTES: Final = 1 << 30


def main() -> int:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        answer = _checked(**json.load(sys.stdin))
    except RecursionError:
        answer = {"fault": "it refers to itself without an end, or is nested too deeply"}
    except MemoryError:
        answer = {"fault": f"to check it takes more than {MEMORY_BYTES >> 20} MiB"}
    json.dump(answer, sys.stdout)
    return 0


def _checked(schema: Any, settings: Any) -> dict[str, Any]:
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        # A registry that retrieves nothing: the default one would fetch what a reference names.
        validator = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())
        errors = sorted(validator.iter_errors(settings), key=lambda error: [str(part) for part in error.path])
    except jsonschema.SchemaError as error:
        return {"fault": f"{error.json_path}: {error.message}"}
    except referencing.exceptions.Unresolvable as error:
        return {"fault": f"it has no {error.ref!r}"}
    if not errors:
        return {}
    return {"path": [str(part) for part in errors[0].path], "error": errors[0].message}


if __name__ == "__main__":
    raise SystemExit(main())
