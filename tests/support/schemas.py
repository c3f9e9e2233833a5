"""What JSON the commands write, held to the schemas that the package has of it."""

from __future__ import annotations

import json
from importlib import resources

import jsonschema  # type: ignore[import-untyped]  # its stubs are a package of their own


def check_schema(name: str, document: object) -> None:
    """Fail unless a document is as `builder/schemas/NAME.schema.json` says."""
    text = (resources.files("builder") / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8")
    jsonschema.Draft202012Validator(json.loads(text)).validate(document)
