"""What `--json` writes, held against the schema of its command."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from analyzer.writers import schema


def faults(command: str, document: Any) -> list[str]:  # noqa: ANN401 - any JSON
    """Return what is wrong with a document: of a wrong type, missing, or not in the schema."""
    shape = "error" if document.get("status") == "error" else "result"
    errors = _validator(command, shape).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in errors][:20]


@cache
def _validator(command: str, shape: str) -> Draft202012Validator:
    whole = closed(json.loads(schema.render(command)))
    return Draft202012Validator({"$ref": f"#/$defs/{shape}", "$defs": whole["$defs"]})


def closed(shape: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a schema that allows no key that it does not have."""
    if isinstance(shape, list):
        return [closed(item) for item in shape]
    if not isinstance(shape, dict):
        return shape
    inner = {key: closed(value) for key, value in shape.items()}
    strict = "properties" in shape and "required" in shape
    return inner | ({"additionalProperties": False} if strict else {})
