"""The TLS front, seen from a client's side: what reaches the target, what comes back, and when it hangs up."""

import asyncio
import base64
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import pki
from sandbox.front import Listener
from sandbox.world import Clock
from tests.sandbox.echo import target, values
from tests.sandbox.support import Device, call, client_context, fronting, new_device, new_tls, serving

NOW = Clock().now()


def devices() -> dict[str, Device]:
    hierarchy = pki.issuing_hierarchy(NOW)
    ica = hierarchy.ica.certificate
    loner = pki.self_signed("loner", ec.SECP256R1(), NOW, timedelta(days=1))
    long_ago = NOW - timedelta(days=400)
    return {
        "from an unknown CA": new_device(pki.factory_authority(), "d"),
        "self-signed": Device(loner.key, (loner.certificate,)),
        "expired": new_device(pki.factory_authority(long_ago), "d", now=long_ago),
        "with its issuing CA": new_device(hierarchy.ica, "d", ica),
        "with its whole chain": new_device(hierarchy.ica, "d", ica, hierarchy.root.certificate),
    }


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_every_client_certificate_reaches_the_target(tmp_path: Path, version: ssl.TLSVersion) -> None:
    async def scenario() -> None:
        tls = new_tls()
        async with (
            serving(target()) as port,
            fronting(tls, Listener(0, port), Listener(0, port, "edge")) as front,
        ):
            standin, edge = front.ports
            for name, device in devices().items():
                context = client_context(tls, device, tmp_path)
                context.minimum_version = context.maximum_version = version
                ders = [base64.b64encode(each.public_bytes(Encoding.DER)).decode() for each in device.chain]
                seen = (await call("GET", f"https://localhost:{standin}/x", context)).body
                assert values(seen, "x-sandbox-client-chain") == [",".join(ders)], name
                seen = (await call("GET", f"https://localhost:{edge}/x", context)).body
                assert values(seen, "x-arr-clientcert") == [ders[0]], name
                assert values(seen, "x-sandbox-client-chain") == []

    asyncio.run(scenario())


def test_nobody_writes_the_headers_of_the_front_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        tls = new_tls()
        forged = [
            ("X-ARR-ClientCert", "forged"),
            ("x-arr-clientcert", "forged again"),
            ("X-Front-End-Secret", "guess"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", "evil"),
            ("X-WAWS-Unencoded-URL", "/other"),
            ("X-Sandbox-Client-Chain", "forged"),
            ("X-Other", "kept"),
        ]
        async with serving(target()) as port, fronting(tls, Listener(0, port, "edge"), Listener(0, port)) as front:
            edge, standin = front.ports
            without = client_context(tls, None, tmp_path)
            seen = (await call("GET", f"https://localhost:{edge}/a%20b?c=d", without, headers=forged)).body
            assert values(seen, "X-ARR-ClientCert") == []
            assert values(seen, "X-Sandbox-Client-Chain") == []
            assert values(seen, "X-Forwarded-Host") == []
            assert values(seen, "X-Front-End-Secret") == ["front-secret"]
            assert values(seen, "X-Forwarded-Proto") == ["https"]
            assert values(seen, "X-WAWS-Unencoded-URL") == ["/a%20b?c=d"]
            assert values(seen, "X-Other") == ["kept"]
            assert values(seen, "Host") == [f"localhost:{edge}"]
            assert values(seen, "X-Forwarded-For")[0].startswith("127.0.0.1:")
            seen = (await call("GET", f"https://127.0.0.1:{standin}/x", without, headers=forged)).body
            assert values(seen, "X-Sandbox-Client-Chain") == []
            assert values(seen, "X-Front-End-Secret") == ["guess"]
            assert values(seen, "Host") == [f"127.0.0.1:{standin}"]

    asyncio.run(scenario())


def test_no_session_is_resumed_and_the_front_ends_with_its_parent(tmp_path: Path) -> None:
    async def scenario() -> None:
        tls = new_tls()
        async with serving(target()) as port, fronting(tls, Listener(0, port)) as front:
            context = client_context(tls, None, tmp_path)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            first = await asyncio.to_thread(handshake, context, front.ports[0], None)
            second = await asyncio.to_thread(handshake, context, front.ports[0], first.session)
            assert not second.session_reused
            assert front.process.stdin is not None
            front.process.stdin.close()
            assert await asyncio.wait_for(front.process.wait(), 5) == 0

    asyncio.run(scenario())


def handshake(context: ssl.SSLContext, port: int, session: ssl.SSLSession | None) -> ssl.SSLObject:
    """A handshake in memory, so that the session of an earlier one can be offered."""
    import socket

    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost", session=session)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        while True:
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                connection.sendall(outgoing.read())
                incoming.write(connection.recv(65536))
            else:
                return client


def test_a_taken_port_is_named() -> None:
    async def scenario() -> None:
        tls = new_tls()
        async with serving(target()) as port:
            with pytest.raises(RuntimeError, match="EADDRINUSE"):
                async with fronting(tls, Listener(port, port)):
                    pass

    asyncio.run(scenario())
