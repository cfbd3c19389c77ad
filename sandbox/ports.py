"""The fixed ports of the sandbox and the names its parts go by: a public contract, written down once."""

from typing import Final

LOOPBACK: Final = "127.0.0.1"

EDGE: Final = 8443
CONTROL: Final = 9440
DIGICERT: Final = 9443
DPS: Final = 9444
IOT_HUB: Final = 9445
KEY_VAULT: Final = 9446
ENTRA: Final = 9447
EVENT_GRID: Final = 9448
RESOURCE_MANAGER: Final = 9450
DIGICERT_HTTP: Final = 9449
FUNCTION_HOST: Final = 7071
AZURITE_BLOB: Final = 10000
AZURITE_QUEUE: Final = 10001
AZURITE_TABLE: Final = 10002

ALL: Final = {
    "edge": EDGE,
    "sandbox control": CONTROL,
    "DigiCert ONE": DIGICERT,
    "DigiCert ONE without TLS": DIGICERT_HTTP,
    "DPS": DPS,
    "IoT Hub": IOT_HUB,
    "Key Vault": KEY_VAULT,
    "Entra ID": ENTRA,
    "Event Grid": EVENT_GRID,
    "Resource Manager": RESOURCE_MANAGER,
    "function host": FUNCTION_HOST,
    "Azurite blobs": AZURITE_BLOB,
    "Azurite queues": AZURITE_QUEUE,
    "Azurite tables": AZURITE_TABLE,
}

# Two hubs behind one port: the name in the Host header tells them apart, and both resolve everywhere.
HUBS: Final = {"hub-a": f"localhost:{IOT_HUB}", "hub-b": f"127.0.0.1:{IOT_HUB}"}

# DigiCert ONE has a host of its own for client certificates (`clientauth.` before the platform host).
DIGICERT_HOST: Final = f"localhost:{DIGICERT}"
DIGICERT_CLIENTAUTH_HOST: Final = f"127.0.0.1:{DIGICERT}"
# SCEP protects its messages itself, so it is spoken over plain HTTP, too. Not every client can be given a TLS root.
DIGICERT_HTTP_HOST: Final = f"localhost:{DIGICERT_HTTP}"

DPS_HOST: Final = f"localhost:{DPS}"
DPS_ID_SCOPE: Final = "0ne00B1RTHC"
DPS_GROUP: Final = "birthcert"
