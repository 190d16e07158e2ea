"""Addresses that others name are asked only where they are public, and only as they were checked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any, NamedTuple

import pytest

from laurel.io.reaching_out import AddressRefusedError, Outside, UnreachableError, is_public

pytestmark = pytest.mark.anyio

PUBLIC = "93.184.216.34"


class Set(NamedTuple):
    """What may be reached."""

    outside_private_addresses: bool = False
    outside_plain_http: bool = True


ANYTHING = Set(outside_private_addresses=True)


@asynccontextmanager
async def listening(answer: bytes, *, drips_seconds: float = 0) -> AsyncIterator[tuple[int, list[str]]]:
    """A door on this machine that answers with these bytes: its port, and the heads of what it was asked."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            for part in [answer[at : at + 1] for at in range(len(answer))] if drips_seconds else [answer]:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(drips_seconds)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], asked


@asynccontextmanager
async def outside(settings: Set, look_up: Callable[[str, int, int], list[Any]] | None = None) -> AsyncIterator[Outside]:
    reached = Outside(settings, look_up=look_up)
    try:
        yield reached
    finally:
        await reached.close()


def leading_to(*addresses: str) -> Callable[[str, int, int], list[Any]]:
    """Resolve every name to all of these."""

    def look_up(_: str, port: int, __: int) -> list[Any]:
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in addresses
        ]

    return look_up


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "2002:7f00:1::",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
    ],
)
async def test_private_addresses_are_refused_literally_and_by_name(address: str) -> None:
    assert not is_public(ip_address(address))
    literal = f"[{address}]" if ":" in address else address
    async with outside(Set(), leading_to(address)) as reached:
        with pytest.raises(AddressRefusedError):
            reached.check(f"http://{literal}/hook")
        with pytest.raises(AddressRefusedError):
            await reached.ask("POST", f"http://{literal}/hook", seconds=2)
        with pytest.raises(AddressRefusedError, match="does not lead to a public address"):
            await reached.ask("POST", "http://hook.example/", seconds=2)


@pytest.mark.parametrize("address", [PUBLIC, "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize("host", ["localhost", "2130706433", "0x7f000001", "127.1"])
async def test_other_spellings_of_this_machine_are_refused(host: str) -> None:
    """Where the system's resolver knows the spelling at all."""

    def look_up(name: str, port: int, family: int) -> list[Any]:
        # Spellings of numbers, as the C library reads them: no name server is asked.
        if name == "localhost":
            return leading_to("127.0.0.1", "::1")(name, port, family)
        return leading_to(socket.inet_ntoa(socket.inet_aton(name)))(name, port, family)

    async with outside(Set(), look_up) as reached:
        with pytest.raises(AddressRefusedError):
            await reached.ask("POST", f"http://{host}/", seconds=2)


async def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    async with outside(Set(), leading_to(PUBLIC, "10.0.0.1")) as reached:
        with pytest.raises(AddressRefusedError):
            await reached.ask("POST", "http://hook.example/", seconds=2)


async def test_the_connection_goes_to_what_was_checked() -> None:
    """A name that leads elsewhere the second time is asked for once only, and only the first answer is used."""
    asked: list[str] = []

    def look_up(name: str, port: int, family: int) -> list[Any]:
        asked.append(name)
        return leading_to(PUBLIC if len(asked) == 1 else "127.0.0.1")(name, port, family)

    async with listening(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as (port, seen):
        async with outside(Set(), look_up) as reached:
            # The network is off in tests, so nobody answers at the public address; nobody here was asked instead.
            with pytest.raises(UnreachableError):
                await reached.ask("POST", f"http://hook.example:{port}/", seconds=2)
        assert (asked, seen) == (["hook.example"], [])


@pytest.mark.parametrize(
    "address",
    [
        "",
        "hook",
        "ftp://hook.example/",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://user:secret@hook.example/",
        "http://hook.example:99999/",
        "http://[::1",
        "https://hook.example/" + "x" * 2_000,
    ],
)
async def test_what_is_no_address_is_refused(address: str) -> None:
    async with outside(ANYTHING) as reached:
        with pytest.raises(AddressRefusedError):
            reached.check(address)


async def test_plain_http_only_where_it_is_allowed() -> None:
    async with outside(Set(outside_plain_http=False)) as reached:
        with pytest.raises(AddressRefusedError, match="https://"):
            reached.check("http://hook.example/")
        reached.check("https://hook.example/")


async def test_private_addresses_are_asked_where_that_is_allowed() -> None:
    answer = b"HTTP/1.1 201 Created\r\nX-Told: yes\r\ncontent-length: 5\r\n\r\nhello"
    async with listening(answer) as (port, seen), outside(ANYTHING) as reached:
        found = await reached.ask(
            "POST", f"http://127.0.0.1:{port}/hook?a=b", body=b"{}", headers={"x-own": "1"}, seconds=5
        )
    assert (found.status, found.headers["x-told"], found.body) == (201, "yes", b"hello")
    assert seen[0].startswith("POST /hook?a=b HTTP/1.1\r\n")
    assert "x-own: 1\r\n" in seen[0]


async def test_redirects_are_answers() -> None:
    async with listening(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n") as (inside, seen):
        there = f"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{inside}/\r\ncontent-length: 0\r\n\r\n".encode()
        async with listening(there) as (port, _), outside(ANYTHING) as reached:
            found = await reached.ask("POST", f"http://127.0.0.1:{port}/", seconds=5)
        assert (found.status, seen) == (302, [])


async def test_who_drips_is_not_waited_for() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n" + b"x" * 1000
    async with listening(answer, drips_seconds=0.05) as (port, _), outside(ANYTHING) as reached:
        with pytest.raises(UnreachableError, match=r"within 0\.4 s"):
            await reached.ask("GET", f"http://127.0.0.1:{port}/", seconds=0.4)


async def test_of_a_long_answer_only_the_beginning_is_read() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n" + b"x" * 200_000
    async with listening(answer) as (port, _), outside(ANYTHING) as reached:
        found = await reached.ask("GET", f"http://127.0.0.1:{port}/", seconds=5, answer_bytes_max=1000)
    assert found.body == b"x" * 1000


async def test_nobody_and_nonsense_are_told_apart_from_refusals() -> None:
    async with outside(ANYTHING) as reached:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            port = closed.getsockname()[1]
            with pytest.raises(UnreachableError, match="nobody listens"):
                await reached.ask("GET", f"http://127.0.0.1:{port}/", seconds=5)
        async with listening(b"this is no HTTP\r\n\r\n") as (port, _):
            with pytest.raises(UnreachableError):
                await reached.ask("GET", f"http://127.0.0.1:{port}/", seconds=5)
