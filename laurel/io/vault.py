"""What is sealed at rest: each member has a key of its own, which is sealed under a secret of the service.

A sealed key says which secret sealed it, so a service that knows two secrets can pass from the one to the other.
Forgetting a member's key makes all that was sealed under it unreadable, wherever a copy of it may lie.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from laurel.errors import LaurelError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_ID_BYTES: Final = 8
_PLAIN: Final = b"\x01"
"""How something begins that was sealed under a key that need not be named."""
_NAMED: Final = b"\x02"
"""How something begins that says by which secret it was sealed."""


class SealBrokenError(LaurelError):
    """What was sealed cannot be opened: another key sealed it, or it was changed."""


class Vault:
    """Seals keys under the service's secret, and values under those keys. Older secrets open, and seal nothing."""

    def __init__(self, secret: bytes, before: Sequence[bytes] = (), *, purpose: bytes) -> None:
        """`purpose` parts what one secret is used for; the same secret for another purpose is another key."""
        if any(len(each) < KEY_BYTES for each in (secret, *before)):
            raise ValueError(f"a secret that seals has at least {KEY_BYTES} bytes")
        derived = [derive(each, purpose) for each in (secret, *before)]
        self._sealing = _id_of(derived[0])
        self._known = {_id_of(each): AESGCM(each) for each in derived}

    @property
    def key_id(self) -> str:
        """The id of the secret that seals now."""
        return self._sealing.hex()

    def new_key(self, *name: str) -> bytes:
        """Return a new key of whoever is named, sealed."""
        return self.seal_key(secrets.token_bytes(KEY_BYTES), *name)

    def seal_key(self, key: bytes, *name: str, nonce: bytes | None = None) -> bytes:
        """Seal a key, or another secret, under the service's secret; a nonce that is given is used for nothing else."""
        return _NAMED + self._sealing + _seal(self._known[self._sealing], key, _name(*name), nonce)

    def open_key(self, sealed: bytes, *name: str) -> bytes:
        """Return what `seal_key` sealed; raises `SealBrokenError`."""
        if sealed[:1] == _NAMED:
            aead = self._known.get(sealed[1 : 1 + _ID_BYTES])
            if aead is None:
                raise SealBrokenError(
                    f"sealed by the secret {sealed[1 : 1 + _ID_BYTES].hex()}, which is not known here"
                )
            return _open(aead, sealed[1 + _ID_BYTES :], _name(*name))
        if sealed[:1] == _PLAIN:
            # Before there were ids there was one secret; whichever it was is among those that are known.
            for aead in self._known.values():
                try:
                    return _open(aead, sealed[1:], _name(*name))
                except SealBrokenError:
                    continue
        raise SealBrokenError("sealed by another secret, or changed")

    def is_current(self, sealed: bytes) -> bool:
        """Say whether a key is sealed by the secret that seals now."""
        return sealed[: 1 + _ID_BYTES] == _NAMED + self._sealing

    def seal_again(self, sealed: bytes, *name: str) -> bytes:
        """Return the same key, sealed by the secret that seals now; what lies under the key stays as it is."""
        return self.seal_key(self.open_key(sealed, *name), *name)

    def seal(self, key: bytes, owner: Sequence[str], what: Sequence[str], text: str) -> bytes:
        """Return a text, readable only with its owner's sealed key and only as what it is."""
        aead = AESGCM(self.open_key(key, *owner))
        return _PLAIN + _seal(aead, text.encode(), _name(*owner, *what))

    def seal_with(self, opened: AESGCM, nonce: bytes, whole: Sequence[str], text: str) -> bytes:
        """Do as `seal` for many texts of one owner, whose key is opened; `whole` is owner and what together."""
        return _PLAIN + _seal(opened, text.encode(), _name(*whole), nonce)

    def open(self, key: bytes, owner: Sequence[str], what: Sequence[str], sealed: bytes) -> str:
        """Return the text; raises `SealBrokenError`."""
        if sealed[:1] != _PLAIN:
            raise SealBrokenError("sealed in a way that is not known here")
        aead = AESGCM(self.open_key(key, *owner))
        return _open(aead, sealed[1:], _name(*owner, *what)).decode()


def derive(secret: bytes, purpose: bytes) -> bytes:
    """Return the key that a secret gives for a purpose."""
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(secret)


def _id_of(derived: bytes) -> bytes:
    return hashlib.sha256(b"laurel key id\n" + derived).digest()[:_ID_BYTES]


def _name(*parts: str) -> bytes:
    return "\n".join(parts).encode()


def _seal(aead: AESGCM, plain: bytes, name: bytes, nonce: bytes | None = None) -> bytes:
    nonce = secrets.token_bytes(NONCE_BYTES) if nonce is None else nonce
    return nonce + aead.encrypt(nonce, plain, name)


def _open(aead: AESGCM, sealed: bytes, name: bytes) -> bytes:
    try:
        return aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], name)
    except (InvalidTag, ValueError):
        raise SealBrokenError("sealed by another key, or changed") from None
