"""An ACME client that signs each request by hand, to get one wrong."""

import base64
import json
from dataclasses import dataclass
from typing import Any

from acme.jws import JWS
from acme.messages import Directory, ExternalAccountBinding
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from josepy.b64 import b64decode
from josepy.jwa import ES256, JWASignature
from josepy.jwk import JWK, JWKEC

from tests.sandbox.digicert_one import Answer, DigiCert, csr_for

BASE = "/iot/api/v1/acme"
URL = f"https://localhost:9443{BASE}"


def error(answer: Answer) -> tuple[int, str]:
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    document = json.loads(answer.body)
    assert document["status"] == answer.status
    return answer.status, document["type"].removeprefix("urn:ietf:params:acme:error:")


def new_key() -> JWKEC:
    return JWKEC(key=ec.generate_private_key(ec.SECP256R1()))


@dataclass
class Client:
    """Signs requests; tests change a part of one."""

    one: DigiCert
    key: JWK
    algorithm: JWASignature = ES256
    account: str | None = None

    async def nonce(self) -> str:
        answer = await self.one.ask("GET", f"{BASE}/new-nonce")
        assert answer.status == 204
        return answer.headers["Replay-Nonce"]

    async def signed(self, path: str, payload: object, **change: Any) -> dict[str, Any]:  # noqa: ANN401 - of any header
        nonce, url = b64decode(await self.nonce()), f"{URL}/{path}"
        header: dict[str, Any] = {"key": self.key, "alg": self.algorithm, "nonce": nonce, "url": url}
        body = b"" if payload is None else json.dumps(payload).encode()
        signed: dict[str, Any] = JWS.sign(body, **(header | {"kid": self.account} | change)).to_partial_json()
        return signed

    async def send(self, path: str, jws: object, content_type: str = "application/jose+json") -> Answer:
        data, headers = json.dumps(jws).encode(), {"Content-Type": content_type}
        answer = await self.one.ask("POST", f"{BASE}/{path}", data=data, headers=headers)
        assert answer.headers["Replay-Nonce"]
        return answer

    async def post(self, path: str, payload: object, **change: Any) -> Answer:  # noqa: ANN401 - of any header
        return await self.send(path, await self.signed(path, payload, **change))

    async def register(self, **more: object) -> Answer:
        directory = Directory({"newAccount": f"{URL}/new-account"})
        credentials = self.one.credentials
        held = credentials.acme_key_id, credentials.acme_hmac_key
        binding = ExternalAccountBinding.from_data(self.key.public_key(), *held, directory)
        answer = await self.post("new-account", {"externalAccountBinding": binding} | more)
        if answer.status in {200, 201}:
            self.account = answer.headers["Location"]
        return answer

    async def order(self, name: str = "dev-1") -> str:
        """The path of a new order."""
        answer = await self.post("new-order", {"identifiers": [{"type": "dns", "value": name}]})
        assert answer.status == 201
        return answer.headers["Location"].removeprefix(f"{URL}/")


async def registered(one: DigiCert) -> Client:
    client = Client(one, new_key())
    assert (await client.register()).status == 201
    return client


def csr(name: str = "dev-1", key: ec.EllipticCurvePrivateKey | None = None) -> dict[str, str]:
    der = csr_for(name, key).public_bytes(Encoding.DER)
    return {"csr": base64.urlsafe_b64encode(der).decode().rstrip("=")}
