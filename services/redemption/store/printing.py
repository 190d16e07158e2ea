"""Codes are made here: by the system's own chance, and of each only its hash and its sealed form are kept."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from laurel.codes import CHANCE_BYTES, code_of, suffix_of, suffix_of_others
from services.redemption.domain.moment import Blank
from services.redemption.domain.state import RewardKey
from services.redemption.store.pools import PoolCode
from services.redemption.store.secrets import Secret
from services.redemption.store.vault import KEY_BYTES, NONCE_BYTES, Vault

_BLOCK: Final = 16_384


class Chance:
    """The system's chance, asked for in blocks: a question to the kernel costs more than the bytes it brings.

    It lives no longer than a transaction, so no two processes ever share what is left of a block.
    """

    def __init__(self) -> None:
        self._block = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return so many bytes that nobody has seen and nobody gets again."""
        start, end = self._at, self._at + count
        if end > len(self._block):
            self._block, start, end = os.urandom(_BLOCK), 0, count
        self._at = end
        return self._block[start:end]


class Press:
    """Prints codes in one transaction, for members who are locked and whose keys it was told of."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._known: dict[tuple[str, str], bytes] = {}
        self._chance = Chance()
        self._opened: dict[tuple[str, str], AESGCM] = {}
        self.new_keys: dict[tuple[str, str], bytes] = {}
        """The keys of members who get their first voucher, sealed."""
        self.printed: dict[str, Secret] = {}
        """What is kept of each code, by voucher."""
        self.taken: dict[str, tuple[str, bytes]] = {}
        """Codes that partners answered, by voucher: program, digest."""
        self.handed: dict[str, tuple[str, bytes, str, str]] = {}
        """Partners' codes that were handed out, by voucher: program, digest, member, voucher."""

    def offer_key(self, program: str, member: str) -> bytes:
        """Make a key for a member who may have none, and return it sealed."""
        plain = self._chance.take(KEY_BYTES)
        self._opened[program, member] = AESGCM(plain)
        return self._vault.seal_member_key(plain, self._nonce(), program, member)

    def learn_keys(self, known: Mapping[tuple[str, str], bytes | None], new: Collection[tuple[str, str]]) -> None:
        """Learn the keys that members have; only those who are `new` have the one that was offered."""
        self._opened = {member: key for member, key in self._opened.items() if member in new}
        self._known = {member: key for member, key in known.items() if key is not None}

    def print(self, program: str, member: str, voucher: str) -> Blank:
        """Make a code, sealed under its member's key."""
        code = code_of(self._chance.take(CHANCE_BYTES))
        self._seal(program, member, voucher, code, self._vault.digest(program, code))
        return Blank(voucher, suffix_of(code))

    def take(self, program: str, member: str, voucher: str, code: str) -> Blank:
        """Take a code that a partner has made."""
        digest = self._vault.foreign_digest(program, code)
        self._seal(program, member, voucher, code, digest)
        self.taken[voucher] = (program, digest)
        return Blank(voucher, suffix_of_others(code))

    def hand_out(self, reward: RewardKey, code: PoolCode, member: str, voucher: str) -> Blank:
        """Make a partner's code this voucher's."""
        plain = self._vault.open_pool_code(reward, code.digest, code.sealed)
        self._seal(reward.program, member, voucher, plain, code.digest)
        self.handed[voucher] = (reward.program, code.digest, member, voucher)
        return Blank(voucher, code.suffix, code.expires_at)

    def _seal(self, program: str, member: str, voucher: str, code: str, digest: bytes) -> None:
        sealed = self._vault.seal(self._key(program, member), self._nonce(), program, member, voucher, code)
        self.printed[voucher] = Secret(digest, sealed)

    def _key(self, program: str, member: str) -> AESGCM:
        """Return the member's key, opened once, or made where there is none."""
        whose = (program, member)
        opened = self._opened.get(whose)
        if opened is None:
            sealed = self._known.get(whose)
            if sealed is not None:
                opened = self._vault.opened(sealed, program, member)
                self._opened[whose] = opened
            else:
                self.new_keys[whose] = self.offer_key(program, member)
                opened = self._opened[whose]
        return opened

    def _nonce(self) -> bytes:
        return self._chance.take(NONCE_BYTES)
