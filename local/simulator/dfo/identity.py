"""The issuer's keys, and what they sign."""

import hashlib
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from local.simulator.dfo.settings import DfoSettings

_ALGORITHM = "RS256"
_FORGER = -1


@cache
def _key(number: int) -> tuple[str, rsa.RSAPrivateKey]:
    """Return a key's id and the key. All simulators of a process have the same ones: to make one takes long."""
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    modulus = key.public_key().public_numbers().n
    return f"{number}-{hashlib.sha256(str(modulus).encode()).hexdigest()[:16]}", key


class Keys:
    """The key that signs, and those that are listed."""

    def __init__(self) -> None:
        self._signing = 0
        self._listed = [0]

    def rotate(self, *, keep_old: bool) -> str:
        """Sign with a new key from now on; returns its id. Without `keep_old` only the new one stays listed."""
        self._signing += 1
        self._listed = [*(self._listed if keep_old else []), self._signing]
        return _key(self._signing)[0]

    def as_json(self) -> dict[str, Any]:
        """The listed keys, as a JWK set."""
        return {"keys": [_jwk(number) for number in self._listed]}

    def sign(self, claims: dict[str, Any]) -> str:
        """Return a JWT."""
        return self._encode(claims, self._signing)

    def id_token(self, claims: dict[str, Any], settings: DfoSettings) -> str:
        """Return an id token, or one with the fault that `dfo_id_token` names."""
        fault = settings.dfo_id_token
        lifetime = 3_600
        changes: dict[str, dict[str, Any]] = {
            "wrong_issuer": {"iss": "https://cxone.example"},
            "wrong_audience": {"aud": "another-client"},
            "expired": {"iat": claims["iat"] - 2 * lifetime, "exp": claims["iat"] - lifetime},
        }
        claims |= changes.get(fault, {})
        if fault == "no_tenant":
            del claims["tenantId"]
        if fault == "unsigned":
            return jwt.encode(claims, "", algorithm="none")
        if fault == "forged":  # by another key, under the id of the right one
            return self._encode(claims, _FORGER, key_id=_key(self._signing)[0])
        return self.sign(claims)

    @staticmethod
    def _encode(claims: dict[str, Any], number: int, key_id: str | None = None) -> str:
        own_id, key = _key(number)
        return jwt.encode(claims, key, algorithm=_ALGORITHM, headers={"kid": key_id or own_id})


def _jwk(number: int) -> dict[str, Any]:
    key_id, key = _key(number)
    public = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    return {"kty": "RSA", "kid": key_id, "use": "sig", "alg": _ALGORITHM, "n": public["n"], "e": public["e"]}
