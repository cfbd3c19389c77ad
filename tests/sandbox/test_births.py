"""The clients by which the sandbox's devices are born past Birthcert, where no server is needed, or a lying one."""

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import files, pki
from sandbox.births import scep, tool
from sandbox.births.given import FILE, Given
from sandbox.credentials import Credentials, new_credentials
from sandbox.device import DeviceError
from sandbox.digicert.ca import SCEP_PROFILE
from sandbox.world import new_world
from tests.sandbox.digicert_one import DigiCert, run

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def credentials() -> Credentials:
    return new_credentials(new_world())


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / ".sandbox"
    files.clear(folder)
    return folder


def test_a_factory_reads_what_it_was_given_and_so_does_a_shell(state: Path, credentials: Credentials) -> None:
    given = Given.of(credentials)
    before = os.umask(0)
    try:
        given.write(state)
    finally:
        os.umask(before)
    assert Given.read(state) == given
    assert stat.S_IMODE((state / FILE).stat().st_mode) == 0o600
    script = f'. ./{FILE}; echo "$SCEP_URL $CMP_REFERENCE $ACME_HMAC_KEY"'
    done = subprocess.run(["/bin/sh", "-c", script], cwd=state, env={}, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [given.scep_url, given.cmp_reference, given.acme_hmac_key]


def test_no_repr_shows_what_is_secret(credentials: Credentials) -> None:
    shown = repr(Given.of(credentials))
    assert credentials.acme_key_id in shown
    assert credentials.canary not in shown
    assert credentials.acme_hmac_key not in shown


def test_where_a_tool_is_not_installed_it_is_said_which() -> None:
    script = (
        "from sandbox.births.ways import WAYS; print(*(f'{each.name}: {each.missing()}' for each in WAYS), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        env={"PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "SCEP: strongSwan's pki is not installed (Debian: strongswan-pki)",
        "ACME: ",
        "CMPv2: openssl is not installed",
    ]


@pytest.mark.skipif(bool(scep.missing()), reason=scep.missing())
def test_a_pki_without_its_http_plugin_is_not_taken_for_one_with_it(tmp_path: Path) -> None:
    (tmp_path / "strongswan.conf").write_text("pki {\n load = openssl random x509 pem pkcs1\n}\n")
    done = subprocess.run(
        [sys.executable, "-c", "from sandbox.births import scep; print(scep.missing())"],
        cwd=REPOSITORY,
        env=os.environ | {"STRONGSWAN_CONF": str(tmp_path / "strongswan.conf")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "strongSwan's pki has no HTTP client (Debian: libstrongswan-extra-plugins)\n"


def test_a_tool_that_fails_is_quoted_with_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"^sh -c: why$"):
        tool.run(["sh", "-c", "echo because >&2; echo why >&2; exit 3"])
    with pytest.raises(DeviceError, match=r"no word of why"):
        tool.run(["sh", "-c", "exit 3"])
    with pytest.raises(DeviceError, match=r"nothing-here"):
        tool.run([tmp_path / "nothing-here"])


@pytest.mark.skipif(bool(scep.missing()), reason=scep.missing())
def test_a_ca_under_another_root_is_not_believed(tmp_path: Path) -> None:
    async def steps(one: DigiCert) -> None:
        root = tmp_path / "root.pem"
        url = f"http://127.0.0.1:{one.port}/iot/api/v1/scep/{SCEP_PROFILE}"
        for authority, name in (
            (one.ca.hierarchy.root, "known"),
            (pki.rogue_authority(one.ca.hierarchy.root), "rogue"),
        ):
            root.write_text(pki.certificate_pem(authority.certificate))
            (tmp_path / name).mkdir()
            looked = asyncio.to_thread(scep.authorities, tmp_path / name, url, root)
            if name == "known":
                await looked
                continue
            with pytest.raises(DeviceError, match="another root"):
                await looked

    run(steps)
