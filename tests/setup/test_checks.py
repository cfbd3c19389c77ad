"""The deployed app as setup asks it: is it ready, and what does a test device get from it."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from infra.setup import ready, trial
from infra.setup.refused import Refused
from infra.setup.trial import Proof
from sandbox import pki
from shared.adapters import tls
from shared.adapters.digicert import client
from tests.fakes.profiles import PROFILE
from tests.sandbox.serving import serving, tls_context
from tests.setup.making import HIERARCHY, ICA, NOW, ROOT

CHAIN = (ICA, ROOT)


@dataclass
class App:
    """Stands for the deployed app: `readiness` are its next answers, `enroll` what it makes of a request."""

    readiness: list[int] = field(default_factory=list)
    enroll: Callable[[x509.CertificateSigningRequest], web.Response] = lambda _: web.Response(status=500)
    asked: list[tuple[str, x509.CertificateSigningRequest]] = field(default_factory=list)

    def serve(self) -> web.Application:
        async def readyz(_: web.Request) -> web.Response:
            status = self.readiness.pop(0) if self.readiness else 503
            return web.json_response({"not_answering": ["dps"]}, status=status)

        async def simpleenroll(request: web.Request) -> web.Response:
            assert request.content_type == "application/pkcs10"
            csr = x509.load_der_x509_csr(base64.b64decode(await request.read()))
            self.asked.append((request.headers.get("Authorization", ""), csr))
            return self.enroll(csr)

        app = web.Application()
        app.add_routes([web.get("/readyz", readyz), web.post("/.well-known/est/devices/simpleenroll", simpleenroll)])
        return app


def play(folder: Path, patch: pytest.MonkeyPatch, app: App, steps: Callable[[str], Awaitable[None]]) -> None:
    async def run() -> None:
        async with serving(app.serve(), tls_context(folder)) as port:
            patch.setenv("SSL_CERT_FILE", str(folder / "tls-root.pem"))
            await steps(f"localhost:{port}")

    asyncio.run(run())


def certs(*shown: x509.Certificate) -> web.Response:
    body = base64.encodebytes(pkcs7.serialize_certificates(list(shown), Encoding.DER))
    return web.Response(body=body, content_type="application/pkcs7-mime")


def issued(csr: x509.CertificateSigningRequest, authority: pki.Authority = HIERARCHY.ica) -> web.Response:
    key = csr.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
    return certs(pki.issue_leaf(authority, "dev", key, NOW))


def test_an_app_that_is_not_ready_at_once_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    async def steps(host: str) -> None:
        async with client(tls.context()) as http:
            await ready.wait(http, host, rest)
            assert rests == [3.0, 3.0]
            with pytest.raises(Refused, match="is not ready: 503") as refused:
                await ready.wait(http, host, rest)
            assert "dps" in refused.value.what
            assert f"https://{host}/api/readyz" in refused.value.remedy
            with pytest.raises(Refused, match="is not ready: ConnectError"):
                await ready.wait(http, "localhost:9", rest)

    play(tmp_path, monkeypatch, App([503, 503, 200]), steps)


def test_a_test_device_proves_itself_and_its_certificate_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = App(enroll=issued)

    async def steps(host: str) -> None:
        leaf = await trial.enroll(host, PROFILE, CHAIN, Proof("device:word"), "setup-check-1")
        assert leaf is not None
        ((authorization, csr),) = app.asked
        assert base64.b64decode(authorization.removeprefix("Basic ")) == b"device:word"
        assert (csr.subject.rfc4514_string(), csr.public_key()) == ("CN=setup-check-1", leaf.public_key())

    play(tmp_path, monkeypatch, app, steps)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda csr: issued(csr, pki.issuing_hierarchy(NOW).ica), "another key or of another CA"),
        (lambda _: certs(ICA), "another key or of another CA"),
        (lambda _: certs(ICA, ROOT), "more than one certificate"),
        (lambda _: web.Response(text="hello"), "cannot read the certificate of the test device"),
        (
            lambda _: web.Response(status=403, text="the device is not on the manifest (request 1)"),
            "not on the manifest",
        ),
        (lambda _: web.Response(status=404), "404"),
        (lambda _: web.Response(status=502, text="the CA refused"), "the CA refused"),
    ],
)
def test_an_enrollment_that_fails_is_told_in_the_words_of_the_app(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: Callable[[x509.CertificateSigningRequest], web.Response],
    said: str,
) -> None:
    async def steps(host: str) -> None:
        with pytest.raises(Refused, match=said) as refused:
            await trial.enroll(host, PROFILE, CHAIN, Proof("device:word"), "setup-check-1")
        assert refused.value.remedy
        assert "word" not in refused.value.what

    play(tmp_path, monkeypatch, App(enroll=answer), steps)


def test_an_order_that_waits_for_approval_is_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def steps(host: str) -> None:
        assert await trial.enroll(host, PROFILE, CHAIN, Proof("device:word"), "setup-check-1") is None
        with pytest.raises(Refused, match="does not answer"):
            await trial.enroll("localhost:9", PROFILE, CHAIN, Proof("device:word"), "setup-check-1")

    play(tmp_path, monkeypatch, App(enroll=lambda _: web.Response(status=202)), steps)


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("ec-p384", ec.EllipticCurvePublicKey),
        ("rsa-2048", rsa.RSAPublicKey),
        ("ed25519", ed25519.Ed25519PublicKey),
    ],
)
def test_the_key_is_of_the_kind_that_the_profile_prefers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, made: type
) -> None:
    app = App(enroll=lambda _: web.Response(status=202))
    profile = replace(PROFILE, request=replace(PROFILE.request, keys=(kind,)))

    async def steps(host: str) -> None:
        await trial.enroll(host, profile, CHAIN, Proof("device:word"), "setup-check-1")
        assert isinstance(app.asked[0][1].public_key(), made)

    play(tmp_path, monkeypatch, app, steps)


def test_a_proof_is_a_password_or_a_certificate_with_its_key(tmp_path: Path) -> None:
    file = tmp_path / "proof"
    file.write_text("device:word\n")
    assert trial.proof(str(file)) == Proof("device:word")
    assert "word" not in repr(trial.proof(str(file)))
    file.write_text("canary")
    with pytest.raises(Refused, match="neither user:password nor") as refused:
        trial.proof(str(file))
    assert "canary" not in f"{refused.value.what}{refused.value.remedy}"
    with pytest.raises(Refused, match="FileNotFoundError"):
        trial.proof(str(tmp_path / "nothing"))


def test_a_factory_certificate_without_its_key_is_refused() -> None:
    lone = Proof(ICA.public_bytes(Encoding.PEM).decode())
    with pytest.raises(Refused, match="the factory certificate is of no use") as refused:
        asyncio.run(trial.enroll("localhost:9", PROFILE, CHAIN, lone, "x"))
    assert "with its key" in refused.value.remedy
