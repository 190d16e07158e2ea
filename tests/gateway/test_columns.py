"""What the columns of a CSV mean, and how a row becomes an activity."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from laurel.contracts.activity import Activity, Identifier, Line, Payer, Tender
from laurel.errors import Problem
from services.gateway.batching import Unpacked
from services.gateway.columns import Table, read_mapping
from services.gateway.splitting import Lines, Quotation

PLAIN = {"columns": {"Receipt": "/id", "When": "/occurred_at"}, "constants": {"/type": "purchase"}}


def table(header: str, **changes: Any) -> Table:
    return Table(read_mapping(json.dumps({**PLAIN, **changes})), header.encode())


def quoted(limit: int, delimiter: bytes = b",") -> Lines:
    return Lines(limit, quotation=Quotation(delimiter))


def faults(mapping: object) -> set[tuple[str, str]]:
    with pytest.raises(Problem) as caught:
        read_mapping(mapping if isinstance(mapping, str) else json.dumps(mapping))
    assert caught.value.code == "invalid"
    return {(each.pointer.removeprefix("/query/mapping"), each.code) for each in caught.value.errors}


def test_a_row_becomes_an_activity() -> None:
    columns = {
        "Receipt": "/id", "When": "/occurred_at", "Card": "/member/value", "Total": {"to": "/amount", "digits": 2},
        "Sku 1": "/lines/0/sku", "Sum 1": {"to": "/lines/0/amount", "digits": 2}, "No 1": "/lines/0/id",
        "Sku 9": "/lines/9/sku", "No 9": "/lines/9/id", "Nights": {"to": "/attributes/nights", "as": "integer"},
        "Room~1": "/attributes/room~1type",
    }  # fmt: skip
    constants = {"/type": "stay", "/member/scheme": "card", "/currency": "EUR"}
    found = table(
        "Receipt;When;Card;Total;Sku 1;Sum 1;No 1;Sku 9;No 9;Nights;Room~1;Unused",
        columns=columns, constants=constants, delimiter=";",
    ).activity(b'r-1;2026-01-01T00:00:00Z;6340;47.3;"a;""b""";0.05;1;;;3;big;x\r')  # fmt: skip
    assert json.loads(found) == {
        "id": "r-1", "occurred_at": "2026-01-01T00:00:00Z", "member": {"value": "6340", "scheme": "card"},
        "amount": 4730, "lines": [{"sku": 'a;"b"', "amount": 5, "id": "1"}], "type": "stay", "currency": "EUR",
        "attributes": {"nights": 3, "room/type": "big"},
    }  # fmt: skip


def test_every_place_of_an_activity_can_be_said() -> None:
    """A field that is added to activities is one that files can say, too."""
    inner: dict[str, type[BaseModel]] = {"member": Identifier, "payer": Payer, "lines/0": Line, "tenders/0": Tender}
    places = [f"/{name}" for name in Activity.model_fields if name not in {"lines", "tenders", "payer", "attributes"}]
    for name, shape in inner.items():
        places += [f"/{name}/{field}" for field in shape.model_fields if field != "attributes"]
    places += ["/attributes/a", "/lines/0/attributes/a"]
    for place in places:
        columns = {**PLAIN["columns"], "x": place} if place not in {"/id", "/occurred_at"} else PLAIN["columns"]
        constants = {} if place == "/type" else PLAIN["constants"]
        assert read_mapping(json.dumps({"columns": columns, "constants": constants}))


@pytest.mark.parametrize(
    ("cell", "digits", "amount"),
    [("47.30", 2, 4730), ("47", 2, 4700), ("47.3", 2, 4730), ("-0.05", 2, -5), ("1500", 0, 1500), ("0.125", 3, 125)],
)
def test_numbers_are_read_exactly(cell: str, digits: int, amount: int) -> None:
    columns = {**PLAIN["columns"], "Total": {"to": "/amount", "digits": digits}}
    assert json.loads(table("Receipt,When,Total", columns=columns).activity(f"r,w,{cell}".encode()))["amount"] == amount


@pytest.mark.parametrize("cell", ["47.301", "1e3", "47,30", "--1", "+1", ".5", "5.", "٤", "1 000", "9" * 30])
def test_what_is_no_such_number_is_told_by_its_place(cell: str) -> None:
    columns = {**PLAIN["columns"], "Total": {"to": "/amount", "digits": 2}}
    with pytest.raises(Problem) as caught:
        table("Receipt\tWhen\tTotal", columns=columns, delimiter="\t").activity(f"r\tw\t{cell}".encode())
    assert [(each.pointer, each.code) for each in caught.value.errors] == [("/amount", "bad_format")]
    assert "Total" in caught.value.errors[0].detail


def test_faults_of_a_mapping_are_told_one_by_one() -> None:
    assert faults("{") == faults("[]") == faults("1") == {("", "bad_format")}
    assert faults({}) == {("/columns", "missing"), ("", "missing")}
    columns = {
        "a": "/id", "b": "/nothing", "c": 7, "d": {"to": "/amount", "digits": 9}, "e": {"to": "/amount", "as": "text"},
        "f": {"to": "/currency", "as": "integer"}, "g": "/lines", "h/~": "/lines/x/sku", "i": {"to": "/store", "x": 1},
        "j": "/member", "k": "/member/value", "l": "/id",
    }  # fmt: skip
    constants = {"/amount": "7", "/channel": 1.5, "/what": "x"}
    assert faults({"columns": columns, "constants": constants, "delimiter": "::", "more": 1}) == {
        ("/columns/b", "unknown"), ("/columns/c", "bad_format"), ("/columns/d/digits", "out_of_range"),
        ("/columns/e", "wrong_type"), ("/columns/f", "wrong_type"), ("/columns/g", "unknown"),
        ("/columns/h~1~0", "unknown"), ("/columns/i/x", "unknown_field"), ("/constants/~1amount", "wrong_type"),
        ("/constants/~1channel", "wrong_type"), ("/constants/~1what", "unknown"), ("/delimiter", "out_of_range"),
        ("/more", "unknown_field"), ("", "repeated"), ("", "not_allowed"), ("", "missing"),
    }  # fmt: skip


@pytest.mark.parametrize("odd", [["a"], {"a": 1}, 7, None])
def test_what_is_no_text_where_a_text_is_wanted_is_a_fault(odd: Any) -> None:
    assert faults({**PLAIN, "delimiter": odd}) == {("/delimiter", "out_of_range")}
    if odd is not None:
        columns = {**PLAIN["columns"], "x": {"to": "/attributes/x", "as": odd}}
        assert faults({**PLAIN, "columns": columns}) == {("/columns/x/as", "out_of_range")}


@pytest.mark.parametrize("place", ["/lines/00/sku", "/lines/01/sku", "/lines/\u0660/sku", "/tenders/00/ref"])
def test_a_line_has_one_number_and_no_other_name(place: str) -> None:
    """Else two places would be the same line, and no order would be between them."""
    assert faults({**PLAIN, "columns": {**PLAIN["columns"], "x": place}}) == {("/columns/x", "unknown")}


def test_a_header_that_does_not_fit_is_refused() -> None:
    for header, code in (("Receipt,Then", "unknown"), ("Receipt,When,When", "repeated")):
        with pytest.raises(Problem) as caught:
            table(header)
        assert [(each.pointer, each.code) for each in caught.value.errors] == [("/query/mapping/columns/When", code)]
    assert json.loads(table("\ufeffReceipt,When\r\n").activity(b"r,w"))["id"] == "r"


@pytest.mark.parametrize("row", [b"r", b"r,w,x", b"\xff,w", b'"r,w', b""])
def test_a_row_that_does_not_fit_is_refused(row: bytes) -> None:
    with pytest.raises(Problem) as caught:
        table("Receipt,When").activity(row)
    assert caught.value.code in {"invalid", "malformed"}


def test_a_row_that_is_not_right_is_found_by_its_id() -> None:
    totals = {"columns": {**PLAIN["columns"], "Total": {"to": "/amount", "digits": 2}}}
    whole = table("Receipt,When,Total", **totals)
    with pytest.raises(Problem):
        whole.activity(b"r-1,w,many")
    rows = {b"r-1,w,many": "r-1", b",w,many": None, b"r-1,w": None, b"\xff,w,1": None}
    assert {row: whole.id_of(row) for row in rows} == rows


@given(st.binary(max_size=80), st.lists(st.integers(0, 80), max_size=5))
def test_no_row_breaks_the_reader(row: bytes, cuts: list[int]) -> None:
    """Whatever comes is an activity's JSON or a problem; and lines are the same however the bytes were cut."""
    with contextlib.suppress(Problem):
        json.loads(table("Receipt,When").activity(row))
    table("Receipt,When").id_of(row)
    whole = quoted(1000)
    expected = [*whole.feed(row), *whole.finish()]
    parts = quoted(1000)
    places = sorted({0, *(cut for cut in cuts if cut < len(row)), len(row)})
    found = [line for start, end in itertools.pairwise(places) for line in parts.feed(row[start:end])]
    assert [*found, *parts.finish()] == expected
    assert parts.offset == whole.offset == len(row)


def test_a_line_feed_between_marks_ends_no_line() -> None:
    lines = quoted(1000)
    assert list(lines.feed(b'a,"x\ny"\r\nb,"')) == [b'a,"x\ny"\r']
    assert list(lines.feed(b'z\n""\n"\nc\n')) == [b'b,"z\n""\n"', b"c"]


def test_a_mark_within_a_cell_opens_nothing() -> None:
    """Inches and nicknames stand in files of those who write no quotation marks; the rows behind them are whole."""
    rows = [
        b'1,12" pizza',
        b"2,plain",
        b'3,Robert "Bob" Ross',
        b'4,a""b',
        b'5,"12"" pizza\nlarge",x',
        b"6,",
        b'"7",""',
        b"8,",
    ]
    whole = b"".join(row + b"\n" for row in rows)
    for step in range(1, len(whole)):
        lines = quoted(1000)
        found = [line for at in range(0, len(whole), step) for line in lines.feed(whole[at : at + step])]
        assert found == rows
    assert [*quoted(1000, b";").feed(b'1;2,"\n3;"a\nb"\n')] == [b'1;2,"', b'3;"a\nb"']


@given(st.lists(st.lists(st.text('a",;\n\r é', max_size=5), min_size=2, max_size=3), min_size=1, max_size=4))
def test_rows_that_a_writer_of_csv_writes_are_cut_where_they_end(rows: list[list[str]]) -> None:
    written = [_written(row) for row in rows]
    assert [*quoted(1000).feed(b"".join(written))] == [row.removesuffix(b"\n") for row in written]


def _written(row: list[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(row)
    return text.getvalue().encode()


def test_what_stands_behind_a_carriage_return_is_not_lost() -> None:
    """A file whose lines end with a carriage return alone is one line: all of it was taken for a header, and done."""
    for row in (b"r,w\rr2,w2", b"r,w\r\rx"):
        with pytest.raises(Problem) as caught:
            table("Receipt,When").activity(row)
        assert "carriage return" in caught.value.detail
    with pytest.raises(Problem) as caught:
        table("Receipt,When\rr,w\rr2,w2")
    assert (caught.value.code, "carriage return" in caught.value.detail) == ("malformed", True)
    assert json.loads(table("Receipt,When\r\n").activity(b'"r",w\r'))["id"] == "r"


def test_a_mark_without_another_costs_one_line_too_long() -> None:
    lines = quoted(20)
    rows = b'a,"\n' + b"x" * 30 + b"\nb\nc\n"
    assert list(lines.feed(rows)) == [None, b"b", b"c"]
    assert lines.offset == len(rows)


@pytest.mark.anyio
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("step", "rows"), [(1, 1), (2, 1), (3, 1), (4, 1), (7, 1), (1000, 1), (65_536, 50_000)])
async def test_the_header_of_a_file_that_says_that_it_is_utf_8(step: int, rows: int, *, packed: bool) -> None:
    """Its first column may stand between marks, and hold a line feed. Much may have been packed with it."""
    header, rest = b'\xef\xbb\xbf"Receipt\nnumber",When\n', b"r,w\n" * rows
    sent = gzip.compress(header + rest) if packed else header + rest

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(sent), step):
            yield sent[at : at + step]

    body = Unpacked(pieces(), packed=packed, ratio_max=250, silence_seconds=5)
    assert await body.header(1000, ",") == header
    assert b"".join([piece async for piece in body.pieces()]) == rest
    columns = {"Receipt\nnumber": "/id", "When": "/occurred_at"}
    assert json.loads(table(header.decode(), columns=columns).activity(b"r,w"))["id"] == "r"
