"""What `python -m tools.aziot_config` prints, taken at its word by the double of Azure's client, leads to a hub."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sandbox import device, ports
from sandbox.births import tool
from sandbox.births.ways import WAYS, Way
from sandbox.device import Identity
from sandbox.up import CLIENT
from tests.conftest import REPOSITORY, Running
from tests.interop.certd import Certd, Stored


def configured(*arguments: str | Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tools.aziot_config", *map(str, arguments)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return tomllib.loads(done.stdout)


def options(sandbox: Running, name: str, label: str) -> list[str | Path]:
    return [
        *("--host", sandbox.edge.removeprefix("https://"), "--registration-id", name, "--label", label),
        *("--id-scope", ports.DPS_ID_SCOPE, "--global-endpoint", f"https://{ports.DPS_HOST}"),
        *("--trusted-ca", sandbox.tls_root.absolute()),
    ]


def path(uri: str) -> Path:
    parts = urlsplit(uri)
    assert parts.scheme == "file"
    return Path(unquote(parts.path))


def stored(certificate: Path, key: Path) -> Stored:
    loaded = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    return Stored(x509.load_pem_x509_certificates(certificate.read_bytes()), loaded)


def started(content: dict[str, Any]) -> Certd:
    """certd as `aziotctl config apply` would start it: it knows nothing but the file."""
    identity = content["provisioning"]["attestation"]["identity_cert"]
    (trusted,) = content["cert_issuance"]["est"]["trusted_certs"]
    bootstrap = None
    if "bootstrap_identity_cert" in identity:
        bootstrap = stored(path(identity["bootstrap_identity_cert"]), path(identity["bootstrap_identity_pk"]))
    passcode = f"{identity['username']}:{identity['password']}" if "username" in identity else ""
    return Certd(identity["url"], path(trusted), passcode=passcode, bootstrap=bootstrap)


def takes(content: dict[str, Any], held: Stored) -> bool:
    """Whether the DPS of the file registers the certificate, and the hub that DPS names lets it in."""
    provisioning = content["provisioning"]
    root = path(content["cert_issuance"]["est"]["trusted_certs"][0])
    identity = Identity(held.key, tuple(held.certificates))
    host = urlsplit(provisioning["global_endpoint"]).netloc
    registered = device.register(host, provisioning["id_scope"], root, identity)
    assert registered.status == "assigned", registered.reason
    return device.connect(registered.hub, root, identity)[0]


def lives(content: dict[str, Any]) -> None:
    """First boot, then a renewal of both certificates."""
    client = started(content)
    name = content["provisioning"]["attestation"]["registration_id"]
    assert content["provisioning"]["attestation"]["identity_cert"]["common_name"] == name
    assert takes(content, client.provision(name))
    if client.est_id is not None:
        client.renew_est_id()
    first = client.device_id
    second = client.renew_device_id(lambda new: takes(content, new))
    assert first is not None
    assert second.leaf.serial_number != first.leaf.serial_number


@pytest.mark.parametrize("label", ["est", "rest", "individual"])
def test_a_device_with_a_factory_certificate_is_born_and_renews(sandbox: Running, tmp_path: Path, label: str) -> None:
    name = f"configured-{label}"
    certificate, key = sandbox.mint(name, tmp_path)
    content = configured(*options(sandbox, name, label), "--bootstrap-certificate", certificate, "--bootstrap-key", key)
    lives(content)


def test_a_device_with_a_passcode_is_born_and_renews(sandbox: Running) -> None:
    name = "configured-passcode"
    lives(configured(*options(sandbox, name, "est"), "--passcode-file", sandbox.state / "passcode"))


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(way, id=way.name, marks=pytest.mark.skipif(bool(way.missing()), reason=way.missing()))
        for way in WAYS
    ],
)
def test_a_certificate_of_another_birth_is_as_good_as_the_factory_s(sandbox: Running, tmp_path: Path, way: Way) -> None:
    """docs/devices.md: it is the bootstrap certificate, and from then on EST renews."""
    name = f"configured-{way.name.lower()}"
    born = way.enroll(sandbox.state, name)
    tool.write_key(tmp_path / "born.key", born.key)
    (tmp_path / "born.pem").write_bytes(born.pem().partition(b"-----END PRIVATE KEY-----\n")[2])
    files = ("--bootstrap-certificate", tmp_path / "born.pem", "--bootstrap-key", tmp_path / "born.key")
    lives(configured(*options(sandbox, name, "est"), *files))


@pytest.mark.usefixtures("sandbox")
def test_the_line_that_make_up_prints_is_such_a_file(tmp_path: Path) -> None:
    lines = CLIENT.partition("\n\n")[2].replace(".venv/bin/python", sys.executable)
    done = subprocess.run(
        ["sh", "-euc", lines],
        cwd=REPOSITORY,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lives(tomllib.loads(done.stdout[done.stdout.index("#") :]))  # `mint` prints its paths before
