"""The one way to an address that somebody else has named, such as a webhook's or a partner's.

Whoever names an address could name one of ours: a database, a cloud's metadata, a neighbour behind the same firewall.
So a name is resolved here, everything it resolves to must be public, and the connection goes to an address that was
checked: a name that points elsewhere a moment later gains nothing. Redirects are not followed, no proxy of the
environment is asked, no cookie is kept, nothing is unpacked, and each request has one deadline for all of it.
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from laurel.errors import LaurelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    LookUp = Callable[[str, int, int], list[Any]]

URL_CHARACTERS_MAX: Final = 2_000
ANSWER_BYTES_MAX: Final = 65_536
_KEPT_ALIVE_SECONDS: Final = 15.0
_LOOK_UPS_AT_ONCE: Final = 16
_NAT64: Final = IPv6Network("64:ff9b::/96")
_LOW_32_BITS: Final = 0xFFFFFFFF


class AddressRefusedError(LaurelError):
    """This address may not be asked, now or later; says why, and names no address that a name resolved to."""


class UnreachableError(LaurelError):
    """Nobody answered in time, or what was answered was no HTTP."""


class OutsideSettings(Protocol):
    """What may be reached."""

    @property
    def outside_private_addresses(self) -> bool: ...
    @property
    def outside_plain_http(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; of a long body only the beginning."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Outside:
    """Asks addresses that others have named. Whoever uses it limits how much it asks of each at once."""

    def __init__(self, settings: OutsideSettings, *, look_up: LookUp | None = None) -> None:
        """`look_up` resolves names like `socket.getaddrinfo(host, port, family)`, which it is by default."""
        self._private = settings.outside_private_addresses
        self._schemes = ("https", "http") if settings.outside_plain_http else ("https",)
        self._resolver = _CheckedResolver(look_up or _look_up, private=self._private)
        self._session: aiohttp.ClientSession | None = None

    def check(self, address: str) -> None:
        """Raise `AddressRefusedError` for an address that could never be asked. No name is resolved for this."""
        self._checked(address)

    async def ask(
        self,
        method: str,
        address: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
    ) -> Answer:
        """Send one request and return whatever was answered, redirects and errors too.

        Raises `AddressRefusedError`, or `UnreachableError` when there is no answer within `seconds`.
        """
        url = self._checked(address)
        try:
            async with self._opened().request(
                method,
                url,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=seconds),
            ) as answer:
                found = await _read(answer, answer_bytes_max)
                return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, found)
        except TimeoutError as error:
            raise UnreachableError(f"no answer within {seconds:g} s") from error
        except aiohttp.InvalidURL:
            raise AddressRefusedError("this is no address") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            refused = _refused_by(error)
            if refused is not None:
                raise AddressRefusedError(str(refused)) from None
            raise UnreachableError(_said(error)) from error

    async def close(self) -> None:
        """Let go of every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        self._resolver.shut()

    def _checked(self, address: str) -> URL:
        if len(address) > URL_CHARACTERS_MAX:
            raise AddressRefusedError("an address has at most 2,000 characters")
        try:
            url = URL(address)
            host, port = url.host, url.port
        except ValueError:
            raise AddressRefusedError("this is no address") from None
        if url.scheme not in self._schemes:
            raise AddressRefusedError(f"an address begins with {' or '.join(f'{each}://' for each in self._schemes)}")
        if not host or not port:
            raise AddressRefusedError("an address names a host")
        if url.user is not None or url.password is not None:
            raise AddressRefusedError("an address holds no user and no password")
        if not self._private:
            try:
                literal = ip_address(host)
            except ValueError:
                return url
            if not is_public(literal):
                raise AddressRefusedError("the address is not public")
        return url

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=self._resolver,
                # Two endpoints may share a host, so a limit per host would let one of them delay the other.
                limit=0,
                limit_per_host=0,
                keepalive_timeout=_KEPT_ALIVE_SECONDS,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=("User-Agent", "Accept-Encoding"),
                headers={"user-agent": "laurel"},
            )
        return self._session


class _NotPublicError(OSError):
    """A name resolves to something that is not public."""


class _CheckedResolver(AbstractResolver):
    def __init__(self, look_up: LookUp, *, private: bool) -> None:
        self._look_up = look_up
        self._private = private
        # Of its own: a name server that is slow must not hold up the rest of the process.
        self._threads = ThreadPoolExecutor(_LOOK_UPS_AT_ONCE, thread_name_prefix="look-up")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._look_up, host, port, family)
        # A scope, as in fe80::1%eth0, says through which interface; it takes no part in what is public.
        if not self._private and not all(is_public(ip_address(each[4][0].partition("%")[0])) for each in found):
            raise _NotPublicError("the name does not lead to a public address")
        return [
            ResolveResult(
                hostname=host,
                host=each[4][0],
                port=each[4][1],
                family=each[0],
                proto=each[2],
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for each in found
        ]

    async def close(self) -> None:
        """Keep the threads: the session may be opened again."""

    def shut(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Say whether an address can belong to somebody on the Internet; so must the IPv4 address that it may carry."""
    if not address.is_global or address.is_multicast:
        return False
    return all(carried.is_global and not carried.is_multicast for carried in _carried(address))


def _carried(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that gateways between the two would make of an IPv6 address."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(IPv4Address(int(address) & _LOW_32_BITS))
    return [each for each in found if each is not None]


def _look_up(host: str, port: int, family: int) -> list[Any]:
    return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)


async def _read(answer: aiohttp.ClientResponse, most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_any():
        parts.append(part)
        size += len(part)
        if size >= most:
            # What is still to come is not waited for, so this connection is of no more use.
            answer.close()
            break
    return b"".join(parts)[:most]


def _refused_by(error: BaseException) -> _NotPublicError | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, _NotPublicError):
            return seen
        seen = getattr(seen, "os_error", None) or seen.__cause__
    return None


def _said(error: BaseException) -> str:
    """Say what went wrong, without the address that a name resolved to: that is nobody's business."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the name does not resolve"
    if isinstance(error, aiohttp.ClientSSLError):
        return "no TLS could be agreed on"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "nobody listens there"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError | OSError):
        return "the connection broke off"
    return "what was answered is no HTTP"
