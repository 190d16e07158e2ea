"""From text (YAML or JSON) or plain values to a checked program document, or to every fault in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec
from pydantic import ValidationError

from laurel.errors import Fault
from laurel.program.consistency import inconsistencies, outline_of, outline_of_parts
from laurel.program.document import ProgramDocument
from laurel.program.faults import ProgramFaults, faults_of
from laurel.program.reading import read_json, read_plain, read_yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

Syntax = Literal["yaml", "json"]


def load_program(
    source: str | bytes | Mapping[str, Any],
    expect_id: str | None = None,
    *,
    syntax: Syntax | None = None,
) -> ProgramDocument:
    """Return the program that a text or a mapping describes; raises ProgramFaults with everything that is wrong.

    `expect_id` is the id by which the caller knows the program: the document may leave its own out, or must agree.
    Text that starts with a brace is taken for JSON unless `syntax` says otherwise.
    """
    data = _plain(source, syntax)
    if not isinstance(data, dict):
        raise ProgramFaults([Fault("", "wrong_type", "A program is a mapping of keys to values")])
    faults = []
    if expect_id is not None:
        data = {"program": expect_id, **data}
        if data["program"] != expect_id:
            faults.append(Fault("/program", "wrong_program", f"This document is published as {expect_id}"))
    try:
        document = ProgramDocument.model_validate_json(msgspec.json.encode(data))
    except ValidationError as error:
        faults += faults_of(error, data)
        faults += inconsistencies(outline_of_parts(data))
        raise ProgramFaults(faults) from None
    faults += inconsistencies(outline_of(document))
    if faults:
        raise ProgramFaults(faults)
    return document


def dump_program(document: ProgramDocument) -> dict[str, Any]:
    """Return a document as plain JSON values, defaults left out; load_program reads it back as the same document."""
    return document.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def _plain(source: str | bytes | Mapping[str, Any], syntax: Syntax | None) -> object:
    if not isinstance(source, str | bytes):
        return read_plain(source)
    try:
        text = source if isinstance(source, str) else source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProgramFaults([Fault("", "malformed", f"The text is not UTF-8: byte {error.start}")]) from None
    if syntax == "json" or (syntax is None and text.lstrip().startswith("{")):
        return read_json(text)
    return read_yaml(text)
