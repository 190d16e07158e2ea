"""The JSON Schema of a program document, for editors: `python -m laurel.program.schema [--check]`.

It shows shapes and names; what it cannot say (references, conditions, exactly one of several) load_program checks.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from laurel.program.document import ProgramDocument

SCHEMA_FILE: Final = Path(__file__).parents[2] / "programs" / "program.schema.json"


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a program document."""
    schema = ProgramDocument.model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "A Laurel program"}


def written() -> str:
    """Return the schema as it stands in its file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> int:
    """Write the file, or with --check say whether it is what it should be."""
    if "--check" not in arguments:
        SCHEMA_FILE.write_text(written(), encoding="utf-8")
        return 0
    if SCHEMA_FILE.is_file() and SCHEMA_FILE.read_text(encoding="utf-8") == written():
        return 0
    sys.stderr.write(f"{SCHEMA_FILE.name} is not up to date: run python -m laurel.program.schema\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
