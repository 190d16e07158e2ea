"""What members of groups ask: to join, to be assigned, to be known to live, to go, and to have offsets kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from laurel.embedded.kafka.broker import NODE, Broker
from laurel.embedded.kafka.errors import Code, RefusedError, code_of
from laurel.embedded.kafka.group import Joined, Request
from laurel.embedded.kafka.wire import Reader, Writer, answering

T = TypeVar("T")
_COORDINATES_GROUPS = 0


def find_coordinator(broker: Broker, version: int, request: Reader, _: str) -> Writer:
    """Groups are coordinated here; there are no transactions to coordinate."""
    request.text()
    kind = request.int8() if version >= 1 else _COORDINATES_GROUPS
    code = Code.NONE if kind == _COORDINATES_GROUPS else Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    answer = answering(version, 1).int16(code)
    if version >= 1:
        answer.text(None)
    return answer.int32(NODE).text(broker.host).int32(broker.port)


def join_group(broker: Broker, version: int, request: Reader, client: str) -> Writer | asyncio.Future[Writer]:
    name, session = request.text(), request.int32() / 1000
    rebalance = request.int32() / 1000 if version >= 1 else session
    member, kind = request.text(), request.text()
    protocols = request.array(lambda: (request.text(), request.blob()))

    def written(joined: Joined) -> Writer:
        answer = (
            answering(version, 2)
            .int16(Code.NONE)
            .int32(joined.generation)
            .text(joined.protocol)
            .text(joined.leader)
            .text(joined.member)
        )
        answer.int32(len(joined.members))
        for other, metadata in joined.members:
            answer.text(other).blob(metadata)
        return answer

    def refused(code: Code) -> Writer:
        return answering(version, 2).int16(code).int32(-1).text("").text("").text(member).int32(0)

    if not name:
        return refused(Code.INVALID_GROUP_ID)
    group = broker.groups.of(name)
    try:
        joined = group.join(Request(member, client, session, rebalance, kind, protocols))
    except RefusedError as error:
        return refused(error.code)
    if not member:
        # Somebody new whose connection is lost meanwhile never learns its name, and nobody shall wait for it.
        joined.add_done_callback(group.forget_if_lost)
    return _when_done(joined, written, refused)


def sync_group(broker: Broker, version: int, request: Reader, _: str) -> Writer | asyncio.Future[Writer]:
    name, generation, member = request.text(), request.int32(), request.text()
    assigned = dict(request.array(lambda: (request.text(), request.blob())))

    def written(own: bytes) -> Writer:
        return answering(version, 1).int16(Code.NONE).blob(own)

    def refused(code: Code) -> Writer:
        return answering(version, 1).int16(code).blob(b"")

    try:
        return _when_done(broker.groups.of(name).sync(member, generation, assigned), written, refused)
    except RefusedError as error:
        return refused(error.code)


def heartbeat(broker: Broker, version: int, request: Reader, _: str) -> Writer:
    name, generation, member = request.text(), request.int32(), request.text()
    return answering(version, 1).int16(code_of(lambda: broker.groups.of(name).beat(member, generation)))


def leave_group(broker: Broker, version: int, request: Reader, _: str) -> Writer:
    name, member = request.text(), request.text()
    return answering(version, 1).int16(code_of(lambda: broker.groups.of(name).leave(member)))


def commit_offsets(broker: Broker, version: int, request: Reader, _: str) -> Writer:
    """Versions 2 and 3. How long an offset is to be kept is of no concern: as long as the process lives."""
    name, generation, member = request.text(), request.int32(), request.text()
    request.int64()
    topics = request.array(
        lambda: (request.text(), request.array(lambda: (request.int32(), request.int64(), request.text_or_none())))
    )
    group = broker.groups.of(name)
    refusal = code_of(lambda: group.may_commit(member, generation))
    answer = answering(version, 3).int32(len(topics))
    for topic, partitions in topics:
        answer.text(topic).int32(len(partitions))
        for number, offset, note in partitions:
            code = refusal or code_of(partial(broker.partition, topic, number))
            if not code:
                group.offsets[topic, number] = (offset, note)
            answer.int32(number).int16(code)
    return answer


def fetch_offsets(broker: Broker, version: int, request: Reader, _: str) -> Writer:
    """Versions 1 to 3; from 2 on no topics at all means everything that is kept."""
    group = broker.groups.of(request.text())
    topics = request.array_or_none(lambda: (request.text(), request.array(request.int32)))
    if topics is None:
        kept: dict[str, list[int]] = {}
        for topic, number in sorted(group.offsets):
            kept.setdefault(topic, []).append(number)
        topics = list(kept.items())
    answer = answering(version, 3).int32(len(topics))
    for topic, numbers in topics:
        answer.text(topic).int32(len(numbers))
        for number in numbers:
            offset, note = group.offsets.get((topic, number), (-1, ""))
            answer.int32(number).int64(offset).text(note).int16(Code.NONE)
    if version >= 2:
        answer.int16(Code.NONE)
    return answer


def _when_done(
    asked: asyncio.Future[T], written: Callable[[T], Writer], refused: Callable[[Code], Writer]
) -> Writer | asyncio.Future[Writer]:
    """Return the answer, or a promise of it, which takes `asked` with it when it is cancelled."""
    if asked.done():
        return written(asked.result())
    answer: asyncio.Future[Writer] = asked.get_loop().create_future()

    def done(_: asyncio.Future[T]) -> None:
        if answer.done():
            return
        if asked.cancelled():
            answer.cancel()
            return
        error = asked.exception()
        if isinstance(error, RefusedError):
            answer.set_result(refused(error.code))
        elif error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(written(asked.result()))

    def lost(_: asyncio.Future[Writer]) -> None:
        if answer.cancelled():
            asked.cancel()

    asked.add_done_callback(done)
    answer.add_done_callback(lost)
    return answer
