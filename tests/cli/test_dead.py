"""`laurel dead list | show | retry | discard` on messages that are parked."""

from __future__ import annotations

import asyncio
import getpass
import json
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from laurel.cli.app import app_of
from laurel.contracts.registry import EVENTS
from laurel.io.migrating import DatabaseUrls

SOURCE = "laurel/gateway/1"
PLACE = ("points", "grocery", "m-1", SOURCE, "4")
BEHIND = (*PLACE[:-1], "5")
BYTES = ("points", "-", "-", "bytes:laurel.gateway.v1/3", "17")
HEADERS = {"ce_id": "e-4", "ce_type": "activity.reported.v9", "ce_subject": "m-1"}
PARKED = f"""
    insert into points.inbox (program, member, source, number) values ('grocery', 'm-1', '{SOURCE}', 3);
    insert into points.parked
        (program, member, source, sequence, topic, type, headers, body, reason, detail, correlation, parked_at)
    values
        ('grocery', 'm-1', '{SOURCE}', 4, 'laurel.gateway.v1', 'activity.reported.v9', '{json.dumps(HEADERS)}',
         '{{"activity": {{"id": "b-4"}}}}', 'unknown_type', 'nobody [/x] knows it', 'grocery/activity/acme/b-4/1',
         '2026-03-14T09:26:53Z'),
        ('grocery', 'm-1', '{SOURCE}', 5, 'laurel.gateway.v1', 'activity.reported.v1', '{{}}', '{{}}', 'behind', '',
         null, '2026-03-14T09:27:00Z'),
        ('', '', 'bytes:laurel.gateway.v1/3', 17, 'laurel.gateway.v1', null, '{{}}', '\\xff00', 'undecodable',
         E'no key: \\x1b[31m', null, '2026-03-14T09:28:00Z');
"""

Dead = Callable[..., Result]
Ask = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def ask(database_urls: DatabaseUrls) -> Ask:
    """Look into the database, in which two messages are parked, one of them with another behind it."""

    async def go(url: str, statement: str) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()

    async def park() -> None:
        owner = await asyncpg.connect(database_urls.owner)
        await owner.execute(PARKED)
        await owner.close()

    asyncio.run(park())
    return lambda statement: asyncio.run(go(database_urls.auditor, statement))


@pytest.fixture
def dead(ask: Ask, database_urls: DatabaseUrls) -> Dead:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app_of(["dead"]), ["dead", *arguments, "--database", database_urls.points])

    return run


def test_what_is_parked_is_listed_with_what_waits_behind_it(dead: Dead) -> None:
    assert dead("list", "points").output.splitlines() == [
        " ".join(PLACE),
        "  activity.reported.v9: unknown_type, since 2026-03-14T09:26:53+00:00, 1 behind it",
        "  nobody [/x] knows it",
        " ".join(BYTES),
        "  no event: undecodable, since 2026-03-14T09:28:00+00:00",
        "  no key:  [31m",
    ]
    assert " ".join(BEHIND) in dead("list", "points", "--waiting").output.splitlines()
    first, second = (json.loads(line) for line in dead("list", "points", "--json").output.splitlines())
    assert (first["service"], first["member"], first["sequence"], first["behind"]) == ("points", "m-1", 4, 1)
    assert (first["reason"], first["correlation"]) == ("unknown_type", "grocery/activity/acme/b-4/1")
    assert (second["program"], second["sequence"], second["behind"]) == ("", 17, 0)
    assert len(dead("list", "points", "--json", "--limit", "1").output.splitlines()) == 1


def test_one_message_is_shown_whole(dead: Dead) -> None:
    shown = json.loads(dead("show", *PLACE).output)
    assert shown["headers"] == HEADERS
    assert shown["body"] == {"activity": {"id": "b-4"}}
    assert (shown["type"], shown["detail"], shown["behind"]) == ("activity.reported.v9", "nobody [/x] knows it", 1)
    assert json.loads(dead("show", *BYTES).output)["body"] == "\\xff\x00"


def test_retry_is_for_the_first_of_a_key_and_is_written_down(dead: Dead, ask: Ask) -> None:
    refused = dead("retry", *BEHIND)
    assert refused.exit_code == 1
    assert "waits for another message" in refused.output
    answer = dead("retry", *PLACE, "--note", "points is newer now")
    assert answer.exit_code == 0, answer.output
    assert "will be tried again" in answer.output
    reasons = ask("select sequence, reason from points.parked where member = 'm-1' order by 1")
    assert reasons == [(4, "retry"), (5, "behind")]
    assert ask("select number from points.inbox") == [(3,)]
    audit = "select action, program, member, source, sequence, actor, note from points.parked_audit"
    assert ask(audit) == [("retry", "grocery", "m-1", SOURCE, 4, getpass.getuser(), "points is newer now")]
    ((type_, correlation, payload),) = ask("select type, correlation, payload from points.outbox")
    event: Any = EVENTS[type_].model.model_validate_json(payload)
    assert (type_, correlation, event.sequence, event.actor) == ("message.retried.v1", None, 4, getpass.getuser())


def test_discard_lets_the_next_go_on_and_tells_the_caller(dead: Dead, ask: Ask) -> None:
    assert dead("discard", *PLACE).exit_code == 2, "without a note nothing is given up"
    refused = dead("discard", *BEHIND, "--note", "x")
    assert refused.exit_code == 1
    assert "not the first of its key" in refused.output
    answer = dead("discard", *PLACE, "--note", "cannot be read by anyone")
    assert answer.exit_code == 0, answer.output
    assert ask("select sequence, reason from points.parked where member = 'm-1'") == [(5, "retry")]
    assert ask("select number from points.inbox") == [(4,)]
    ((type_, stream, correlation, payload),) = ask("select type, stream, correlation, payload from points.outbox")
    assert (type_, stream, correlation) == ("message.discarded.v1", "dead", "grocery/activity/acme/b-4/1")
    event: Any = EVENTS[type_].model.model_validate_json(payload)
    assert (event.source, event.sequence, event.reason) == (SOURCE, 4, "discarded")
    assert (event.detail, event.actor) == ("cannot be read by anyone", getpass.getuser())
    assert ask("select action, note from points.parked_audit") == [("discard", "cannot be read by anyone")]
    again = dead("discard", *PLACE, "--note", "again")
    assert again.exit_code == 1
    assert "no such parked message" in again.output


def test_bytes_are_given_up_alone(dead: Dead, ask: Ask) -> None:
    answer = dead("discard", *BYTES, "--note", "junk")
    assert answer.exit_code == 0, answer.output
    assert ask("select sequence from points.parked order by 1") == [(4,), (5,)]
    ((type_, program, correlation, payload),) = ask("select type, program, correlation, payload from points.outbox")
    assert (type_, program, correlation) == ("message.discarded.v1", "", None)
    event: Any = EVENTS[type_].model.model_validate_json(payload)
    assert (event.program, event.cause.id, event.detail) == ("unknown", f"{BYTES[3]}/{BYTES[4]}", "junk")
    assert ask("select number from points.inbox") == [(3,)]
