"""The codes of https://kafka.apache.org/protocol.html#protocol_error_codes that this broker answers with."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum


class Code(IntEnum):
    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    INVALID_TOPIC = 17
    ILLEGAL_GENERATION = 22
    INCONSISTENT_GROUP_PROTOCOL = 23
    INVALID_GROUP_ID = 24
    UNKNOWN_MEMBER_ID = 25
    REBALANCE_IN_PROGRESS = 27
    UNSUPPORTED_VERSION = 35
    TOPIC_ALREADY_EXISTS = 36
    INVALID_PARTITIONS = 37
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    INVALID_PRODUCER_EPOCH = 47
    TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53


class RefusedError(Exception):
    """What is asked for cannot be had, for the reason that the code names."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


def code_of(deed: Callable[[], object]) -> Code:
    """Do it; return the code of its refusal, or that there was none."""
    try:
        deed()
    except RefusedError as error:
        return error.code
    return Code.NONE
