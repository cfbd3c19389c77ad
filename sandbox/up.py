"""`python -m sandbox up`: the sandbox for a person who wants to try things by hand."""

import asyncio
import signal
import sys
from pathlib import Path

from sandbox import ports, supervisor
from sandbox.children import SandboxError

# Pasted into another shell in the repository root. No comments in it: zsh does not take them on its command line.
RECIPE = """\
Paste this into another shell, in this folder (it needs curl and openssl):

D=$(mktemp -d) EST=https://127.0.0.1:8443/.well-known/est
.venv/bin/python -m sandbox mint --cn device-1 --out $D
openssl ecparam -name prime256v1 -genkey -noout -out $D/device.key
openssl req -new -key $D/device.key -subj /CN=device-1 -outform DER -out $D/device.csr
openssl base64 -in $D/device.csr -out $D/device.b64
curl -fsS --cacert .sandbox/tls-root.pem --cert $D/device-1.pem --key $D/device-1.key -o $D/device.p7 \\
  -H 'Content-Type: application/pkcs10' -H 'Content-Transfer-Encoding: base64' \\
  --data-binary @$D/device.b64 $EST/simpleenroll
curl -fsS --cacert .sandbox/tls-root.pem --cert $D/device-1.pem --key $D/device-1.key -o $D/ca.p7 $EST/cacerts
for F in device ca; do openssl base64 -d -in $D/$F.p7 | openssl pkcs7 -inform DER -print_certs -out $D/$F.pem; done
cat $D/ca.pem >> $D/device.pem
.venv/bin/python -m sandbox connect --cert $D/device.pem --key $D/device.key
"""

# The first line makes a DPS of which nothing is set up; the last ends with a test device's certificate.
DEPLOYMENT = """\
Or this, to see DPS and Key Vault being set up as after a deployment:

curl -fsS -X PUT http://127.0.0.1:9440/deployment -d '{"done": false}'
(set -a; . .sandbox/env; .venv/bin/python -m infra.setup --plan)
(set -a; . .sandbox/env; .venv/bin/python -m infra.setup --check-enrollment)
"""

# What Azure's own client would be given on a device; here the double of it in tests/interop takes it.
CLIENT = f"""\
Or this, for the configuration of Azure's own client (iot-identity-service, IoT Edge):

.venv/bin/python -m sandbox mint --cn device-2 --out .sandbox/devices
.venv/bin/python -m tools.aziot_config --host 127.0.0.1:{ports.EDGE} --registration-id device-2 \\
  --id-scope {ports.DPS_ID_SCOPE} --global-endpoint https://{ports.DPS_HOST} --trusted-ca $PWD/.sandbox/tls-root.pem \\
  --bootstrap-certificate $PWD/.sandbox/devices/device-2.pem --bootstrap-key $PWD/.sandbox/devices/device-2.key
"""

END = "Ctrl-C ends everything. Logs are in .sandbox/logs."


async def keep(app: Path) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    ready = False

    def stopped() -> None:
        stop.set()
        if not ready and task is not None:
            task.cancel()  # still starting: give that up

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopped)
    async with supervisor.running(app, say=tell) as sandbox:
        ready = True
        tell(f"READY est={supervisor.EDGE_URL}")
        tell(f"\n{RECIPE}\n{DEPLOYMENT}\n{CLIENT}\n{END}\n")
        try:
            await sandbox.unless_broken(stop.wait())
        except SandboxError:
            await asyncio.sleep(0.2)  # one Ctrl-C may reach a child before it reaches us
            if not stop.is_set():
                raise


def tell(line: str) -> None:
    print(line, flush=True)


def main(app: Path) -> int:
    try:
        asyncio.run(keep(app))
    except SandboxError as error:
        print(error, file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 130  # stopped before it was ready
    return 0
