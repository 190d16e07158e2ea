"""Every request that this broker knows, with its number, its versions and who answers it.

https://kafka.apache.org/protocol.html#protocol_api_keys names them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from laurel.embedded.kafka import joining
from laurel.embedded.kafka.broker import NODE, Broker
from laurel.embedded.kafka.errors import Code, RefusedError, code_of
from laurel.embedded.kafka.fetching import Fetch, fetch
from laurel.embedded.kafka.wire import MalformedError, Reader, Writer, answering

Answer = Writer | asyncio.Future[Writer] | None
"""None: the client wants no answer."""
Answering = Callable[[Broker, int, Reader, str], Answer]
"""Given the broker, the version of the request, what is left of it and who the client says that it is."""


def _produce(broker: Broker, version: int, request: Reader, _: str) -> Answer:
    """Versions 3 to 7. What is in memory is as safe as it gets here, so all that want an answer have it at once."""
    transaction, acks = request.text_or_none(), request.int16()
    request.int32()  # time limit
    topics = request.array(lambda: (request.text(), request.array(lambda: (request.int32(), request.blob()))))
    answer = Writer().int32(len(topics))
    for topic, partitions in topics:
        answer.text(topic).int32(len(partitions))
        for number, records in partitions:
            code, offset = Code.NONE, -1
            try:
                if transaction is not None:
                    raise RefusedError(Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
                offset = broker.partition(topic, number).append(records)
            except RefusedError as error:
                code = error.code
            answer.int32(number).int16(code).int64(offset).int64(-1)
            if version >= 5:
                answer.int64(0)
    answer.int32(0)
    return answer if acks else None


def _fetch(broker: Broker, version: int, request: Reader, _: str) -> Answer:
    return fetch(broker, Fetch.read(version, request))


def _list_offsets(broker: Broker, version: int, request: Reader, _: str) -> Answer:
    request.int32()  # replica
    if version >= 2:
        request.int8()  # isolation
    topics = request.array(lambda: (request.text(), request.array(lambda: (request.int32(), request.int64()))))
    answer = answering(version, 2).int32(len(topics))
    for topic, partitions in topics:
        answer.text(topic).int32(len(partitions))
        for number, at in partitions:
            code, timestamp, offset = Code.NONE, -1, -1
            try:
                timestamp, offset = broker.partition(topic, number).offset_at(at)
            except RefusedError as error:
                code = error.code
            answer.int32(number).int16(code).int64(timestamp).int64(offset)
    return answer


def _metadata(broker: Broker, version: int, request: Reader, _: str) -> Answer:
    """Versions 0 to 5. Topics are never made by asking for them."""
    topics = request.array_or_none(request.text)
    if version == 0 and not topics:
        topics = None
    answer = answering(version, 3).int32(1).int32(NODE).text(broker.host).int32(broker.port)
    if version >= 1:
        answer.text(None)
    if version >= 2:
        answer.text(broker.cluster_id)
    if version >= 1:
        answer.int32(NODE)
    known = broker.known(topics)
    answer.int32(len(known))
    for topic, partitions in known:
        answer.int16(Code.NONE if partitions is not None else Code.UNKNOWN_TOPIC_OR_PARTITION).text(topic)
        if version >= 1:
            answer.int8(0)
        answer.int32(len(partitions or ()))
        for number in range(len(partitions or ())):
            answer.int16(Code.NONE).int32(number).int32(NODE).int32(1).int32(NODE).int32(1).int32(NODE)
            if version >= 5:
                answer.int32(0)
    return answer


def _create_topics(broker: Broker, version: int, request: Reader, _: str) -> Answer:
    """Versions 0 to 3. What a topic is configured to forget or to refuse is of no concern here."""

    def topic() -> tuple[str, int]:
        name, partitions = request.text(), request.int32()
        request.int16()  # replicas
        assigned = request.array(lambda: (request.int32(), request.array(request.int32)))
        request.array(lambda: (request.text(), request.text_or_none()))
        return name, len(assigned) or (1 if partitions == -1 else partitions)

    topics = request.array(topic)
    request.int32()  # time limit
    only_look = version >= 1 and request.flag()
    answer = answering(version, 2).int32(len(topics))
    for name, partitions in topics:
        answer.text(name).int16(code_of(partial(broker.create, name, partitions, only_look=only_look)))
        if version >= 1:
            answer.text(None)
    return answer


def _delete_topics(broker: Broker, version: int, request: Reader, _: str) -> Answer:
    topics = request.array(request.text)
    answer = answering(version, 1).int32(len(topics))
    for name in topics:
        answer.text(name).int16(code_of(partial(broker.delete, name)))
    return answer


def _new_producer(broker: Broker, _: int, request: Reader, __: str) -> Answer:
    if request.text_or_none() is not None:
        return Writer().int32(0).int16(Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED).int64(-1).int16(-1)
    return Writer().int32(0).int16(Code.NONE).int64(broker.new_producer()).int16(0)


def _versions(_: Broker, version: int, __: Reader, ___: str) -> Answer:
    return _versions_as(Code.NONE, version)


def _versions_as(code: Code, version: int) -> Writer:
    answer = Writer().int16(code).int32(len(REQUESTS))
    for number, known in REQUESTS.items():
        answer.int16(number).int16(known.offered_from).int16(known.last)
    return answer.int32(0) if version >= 1 else answer


@dataclass(frozen=True, slots=True)
class _Request:
    """Who answers, from which version on and up to which."""

    answering: Answering
    first: int
    last: int
    offered_from: int


def _request(answering: Answering, first: int, last: int, *, offered_from: int | None = None) -> _Request:
    return _Request(answering, first, last, first if offered_from is None else offered_from)


_API_VERSIONS = 18
REQUESTS = {
    # librdkafka takes a broker for one of before its time that does not say that it knows version 0 (KAFKA-18659).
    0: _request(_produce, 3, 7, offered_from=0),
    1: _request(_fetch, 4, 6),
    2: _request(_list_offsets, 1, 3),
    3: _request(_metadata, 0, 5),
    8: _request(joining.commit_offsets, 2, 3),
    9: _request(joining.fetch_offsets, 1, 3),
    10: _request(joining.find_coordinator, 0, 2),
    11: _request(joining.join_group, 0, 2),
    12: _request(joining.heartbeat, 0, 1),
    13: _request(joining.leave_group, 0, 1),
    14: _request(joining.sync_group, 0, 1),
    _API_VERSIONS: _request(_versions, 0, 2),
    19: _request(_create_topics, 0, 3),
    20: _request(_delete_topics, 0, 2),
    22: _request(_new_producer, 0, 1),
}


def answer(broker: Broker, frame: bytes) -> tuple[int, Answer]:
    """Return the number by which the client knows its request again, and the answer.

    Raises:
        MalformedError: nothing that this broker knows; there is no way to answer it.
    """
    request = Reader(frame)
    number, version, correlation = request.int16(), request.int16(), request.int32()
    known = REQUESTS.get(number)
    if known is None:
        raise MalformedError(f"request {number} is not known")
    if not known.first <= version <= known.last:
        if number == _API_VERSIONS:
            # In the oldest version, which every client can read, so that it asks again.
            return correlation, _versions_as(Code.UNSUPPORTED_VERSION, 0)
        raise MalformedError(f"version {version} of request {number} is not known")
    client = request.text()
    return correlation, known.answering(broker, version, request, client)
