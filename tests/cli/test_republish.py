"""`laurel republish` asks; the relay does it (`tests/io/test_republishing.py`)."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from laurel.io.migrating import SCHEMAS, DatabaseUrls
from tests.cli.asking import ask, of_service

republish = partial(of_service, "republish")


@pytest.mark.parametrize("service", SCHEMAS)
def test_it_is_asked_for_in_place_of_the_broker(database_urls: DatabaseUrls, service: str) -> None:
    url = database_urls.of(service)
    assert "never met a broker" in republish(service, url).output
    asyncio.run(ask(url, f"insert into {service}.broker_state (cluster_id) values ('some-broker')"))
    for _ in range(2):
        answer = republish(service, url)
        assert answer.exit_code == 0, answer.output
        assert "publishes everything again" in answer.output
    assert asyncio.run(ask(database_urls.auditor, f"select cluster_id from {service}.broker_state")) == [("again",)]


def test_what_cannot_be_done_is_said(database_urls: DatabaseUrls) -> None:
    assert republish("ledger", database_urls.points).exit_code == 2
    gone = republish("points", "postgresql://laurel_points:x@127.0.0.1:1/laurel")
    stranger = republish("points", database_urls.gateway)
    for answer in (gone, stranger):
        assert answer.exit_code == 1
        assert "Nothing is published again" in answer.output
