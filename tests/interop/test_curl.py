"""Plain curl and openssl, as an engineer at a terminal uses them; the second test pastes what `make up` prints."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.up import RECIPE
from tests.conftest import REPOSITORY, Running

pytestmark = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("openssl")), reason="curl and openssl are not both installed"
)


def sh(script: str, directory: Path, **variables: str | Path) -> "subprocess.CompletedProcess[str]":
    path = "/usr/local/bin:/usr/bin:/bin"
    environment = {"PATH": path, **{name: str(value) for name, value in variables.items()}}
    return subprocess.run(
        ["sh", "-euc", script], cwd=directory, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


ENROLL = """
openssl ecparam -name prime256v1 -genkey -noout -out k.pem
openssl req -new -key k.pem -subj /CN=$NAME -outform DER -out r.der
openssl base64 -in r.der -out r.b64
curl -sS --cacert $ROOT -o ca.b64 $EST/cacerts
base64 -d ca.b64 | openssl pkcs7 -inform DER -print_certs -out ca.pem
enroll() {
  curl -sS --cacert $ROOT "$@" -w '%{http_code} %{content_type}' -H 'Content-Type: application/pkcs10' \
    -o e.b64 --data-binary @r.b64
}
test "$(enroll -u "$PASSCODE" $EST/simpleenroll)" = '200 application/pkcs7-mime; smime-type=certs-only'
base64 -d e.b64 | openssl pkcs7 -inform DER -print_certs -out e.pem
test "$(grep -c BEGIN e.pem)" = 1
openssl verify -purpose sslclient -CAfile ca.pem e.pem
test "$(openssl x509 -in e.pem -noout -pubkey)" = "$(openssl req -inform DER -in r.der -noout -pubkey)"
test "$(enroll --cert e.pem --key k.pem $EST/simplereenroll)" = '200 application/pkcs7-mime; smime-type=certs-only'
openssl base64 -d -in e.b64 | openssl pkcs7 -inform DER -print_certs -out renewed.pem
openssl verify -purpose sslclient -CAfile ca.pem renewed.pem
test "$(openssl x509 -in e.pem -noout -serial)" != "$(openssl x509 -in renewed.pem -noout -serial)"
curl -sS --cacert $ROOT $EST/csrattrs | base64 -d | openssl asn1parse -inform DER
"""


@pytest.mark.parametrize("label", ["", "/est", "/rest"])
def test_curl_and_openssl_enroll_verify_and_renew(sandbox: Running, tmp_path: Path, label: str) -> None:
    done = sh(
        ENROLL,
        tmp_path,
        ROOT=sandbox.tls_root,
        EST=f"{sandbox.edge}/.well-known/est{label}",
        PASSCODE=sandbox.passcode,
        NAME=f"curl{label.replace('/', '-')}",
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_recipe_that_make_up_prints_works_when_pasted(sandbox: Running, tmp_path: Path) -> None:
    lines = RECIPE.partition("\n\n")[2].partition("\n\nCtrl-C")[0]
    python = f"{sys.executable} -m sandbox"
    done = sh(lines.replace(".venv/bin/python -m sandbox", python), REPOSITORY, TMPDIR=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["dps"], told["hub"]) == ("assigned", "connected")
    assert sandbox.journal()
