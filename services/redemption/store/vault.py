"""Secrets of vouchers: a code is kept as a keyed hash, for look-up, and sealed under its member's key, for display.

Each member has a key of its own, sealed under the service's; forgetting it makes all the member's codes unreadable.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from laurel.io import vault
from laurel.io.vault import KEY_BYTES, NONCE_BYTES, SealBrokenError, derive
from services.redemption.domain.state import RewardKey

__all__ = ["KEY_BYTES", "LOOK_UP", "NONCE_BYTES", "PARTNERS", "POOLS", "SealBrokenError", "Vault"]

LOOK_UP = "voucher look-up"
"""The name of the key by which codes are hashed."""
PARTNERS = "partners that fulfil"
"""The name of the key of which the common secrets with partners are made."""
POOLS = "voucher pools"
"""The name of the key under which partners' codes lie until somebody is handed them."""


class Vault:
    """Seals and opens codes, and hashes them."""

    def __init__(self, secret: bytes, before: Sequence[bytes] = ()) -> None:
        """`before` are secrets that sealed until now."""
        self.keys = vault.Vault(secret, before, purpose=b"laurel voucher member keys")
        self._hashing = self.first_hashing = derive(secret, b"laurel voucher look-up")
        self._partners = self.first_partners = derive(secret, b"laurel partners that fulfil")
        self.first_pooling = derive(secret, b"laurel voucher pools")
        self._pools = AESGCM(self.first_pooling)

    def hash_by(self, key: bytes) -> None:
        """Hash codes by the key that the service keeps, which outlives its secrets."""
        self._hashing = key

    def sign_by(self, key: bytes) -> None:
        """Make the common secrets with partners of the key that the service keeps."""
        self._partners = key

    def partner_secret(self, program: str, reward: str) -> str:
        """Return the secret, common with the partner that fulfils a reward, by which both sign (Standard Webhooks)."""
        made = hmac.digest(self._partners, f"{program}\n{reward}".encode(), hashlib.sha256)
        return "whsec_" + base64.b64encode(made).decode()

    def seal_pools_by(self, key: bytes) -> None:
        """Seal partners' codes by the key that the service keeps, which outlives its secrets."""
        self._pools = AESGCM(key)

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

    def seal_pool_code(self, reward: RewardKey, digest: bytes, code: str) -> bytes:
        """Return a partner's code that nobody has yet, readable only as this reward's."""
        return self.keys.seal_with(self._pools, secrets.token_bytes(NONCE_BYTES), (*reward, digest.hex()), code)

    def open_pool_code(self, reward: RewardKey, digest: bytes, sealed: bytes) -> str:
        """Return such a code; raises `SealBrokenError`."""
        return self.keys.open_with(self._pools, (*reward, digest.hex()), sealed)

    def foreign_digest(self, program: str, code: str) -> bytes:
        """Return what a partner's code is looked up by, written as it is: only we know how ours may be typed."""
        return self.digest(program, f"partner\n{code}")

    def digest(self, program: str, code: str) -> bytes:
        """Return what a code is looked up by; without the secret it cannot be tried out."""
        return hmac.digest(self._hashing, f"{program}\n{code}".encode(), hashlib.sha256)
