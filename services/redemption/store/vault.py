"""Secrets of vouchers: a code is kept as a keyed hash, for look-up, and sealed under its member's key, for display.

Each member has a key of its own, sealed under the service's; forgetting it makes all the member's codes unreadable.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from laurel.errors import LaurelError
from services.redemption.domain.state import RewardKey

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_FORMAT = b"\x01"
"""The first byte of everything sealed, so that another way of sealing can follow."""


class SealBrokenError(LaurelError):
    """What was sealed cannot be opened: another key sealed it, or it was changed."""


class Vault:
    """Seals and opens with one secret, from which the keys for sealing and for hashing are derived."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < KEY_BYTES:
            raise ValueError(f"the secret of vouchers has at least {KEY_BYTES} bytes")
        self._members = AESGCM(_derived(secret, b"laurel voucher member keys"))
        self._pools = AESGCM(_derived(secret, b"laurel voucher pools"))
        self._hashing = _derived(secret, b"laurel voucher look-up")

    def seal_member_key(self, plain: bytes, nonce: bytes, program: str, member: str) -> bytes:
        """Return a member's key, sealed; the nonce is used for nothing else."""
        return _seal(self._members, nonce, plain, _name(program, member))

    def opened(self, member_key: bytes, program: str, member: str) -> AESGCM:
        """Return a member's key, ready for use; `SealBrokenError` unless this secret sealed it, for this member."""
        return AESGCM(_open(self._members, member_key, _name(program, member)))

    def seal(self, opened: AESGCM, nonce: bytes, program: str, member: str, voucher: str, code: str) -> bytes:
        """Return the code, readable only with the member's key and only as this voucher's."""
        return _seal(opened, nonce, code.encode(), _name(program, member, voucher))

    def open(self, member_key: bytes, program: str, member: str, voucher: str, sealed: bytes) -> str:
        """Return the code; raises `SealBrokenError`."""
        aead = self.opened(member_key, program, member)
        return _open(aead, sealed, _name(program, member, voucher)).decode()

    def seal_pool_code(self, reward: RewardKey, digest: bytes, code: str) -> bytes:
        """Return a partner's code that nobody has yet, readable only as this reward's."""
        return _seal(self._pools, secrets.token_bytes(NONCE_BYTES), code.encode(), _name(*reward) + digest)

    def open_pool_code(self, reward: RewardKey, digest: bytes, sealed: bytes) -> str:
        """Return such a code; raises `SealBrokenError`."""
        return _open(self._pools, sealed, _name(*reward) + digest).decode()

    def foreign_digest(self, program: str, code: str) -> bytes:
        """Return what a partner's code is looked up by, written as it is: only we know how ours may be typed."""
        return self.digest(program, f"partner\n{code}")

    def digest(self, program: str, code: str) -> bytes:
        """Return what a code is looked up by; without the secret it cannot be tried out."""
        return hmac.digest(self._hashing, _name(program, code), hashlib.sha256)


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(secret)


def _name(*parts: str) -> bytes:
    return "\n".join(parts).encode()


def _seal(aead: AESGCM, nonce: bytes, plain: bytes, name: bytes) -> bytes:
    return _FORMAT + nonce + aead.encrypt(nonce, plain, name)


def _open(aead: AESGCM, sealed: bytes, name: bytes) -> bytes:
    if sealed[:1] != _FORMAT:
        raise SealBrokenError("sealed in a way that is not known here")
    try:
        return aead.decrypt(sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :], name)
    except (InvalidTag, ValueError):
        raise SealBrokenError("sealed by another key, or changed") from None
