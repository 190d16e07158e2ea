"""Secrets of vouchers: a code is kept as a keyed hash, for look-up, and sealed under its member's key, for display.

Each member has a key of its own, sealed under the service's; forgetting it makes all the member's codes unreadable.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from laurel.io import vault
from laurel.io.vault import KEY_BYTES, NONCE_BYTES, SealBrokenError, derive

__all__ = ["KEY_BYTES", "LOOK_UP", "NONCE_BYTES", "SealBrokenError", "Vault"]

LOOK_UP = "voucher look-up"
"""The name of the key by which codes are hashed."""


class Vault:
    """Seals and opens codes, and hashes them."""

    def __init__(self, secret: bytes, before: Sequence[bytes] = ()) -> None:
        """`before` are secrets that sealed until now."""
        self.keys = vault.Vault(secret, before, purpose=b"laurel voucher member keys")
        self._hashing = self.first_hashing = derive(secret, b"laurel voucher look-up")

    def hash_by(self, key: bytes) -> None:
        """Hash codes by the key that the service keeps, which outlives its secrets."""
        self._hashing = key

    def seal_member_key(self, plain: bytes, nonce: bytes, program: str, member: str) -> bytes:
        """Return a member's key, sealed; the nonce is used for nothing else."""
        return self.keys.seal_key(plain, program, member, nonce=nonce)

    def opened(self, member_key: bytes, program: str, member: str) -> AESGCM:
        """Return a member's key, ready for use; `SealBrokenError` unless a secret that is known sealed it, for it."""
        return AESGCM(self.keys.open_key(member_key, program, member))

    def seal(self, opened: AESGCM, nonce: bytes, program: str, member: str, voucher: str, code: str) -> bytes:
        """Return the code, readable only with the member's key and only as this voucher's."""
        return self.keys.seal_with(opened, nonce, (program, member, voucher), code)

    def open(self, member_key: bytes, program: str, member: str, voucher: str, sealed: bytes) -> str:
        """Return the code; raises `SealBrokenError`."""
        return self.keys.open(member_key, (program, member), (voucher,), sealed)

    def digest(self, program: str, code: str) -> bytes:
        """Return what a code is looked up by; without the secret it cannot be tried out."""
        return hmac.digest(self._hashing, f"{program}\n{code}".encode(), hashlib.sha256)
