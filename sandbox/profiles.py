"""The profiles that the function app is given in the sandbox: one for each way to DigiCert ONE and through DPS.

`est` is the default, reached without a label; the others differ from it where they say. The times are those of a
laptop: what waits for days elsewhere waits for an hour here. `rest` lets a certificate renew itself for a week after
its end; `unwrapped` lets a device come back whose identity was deleted from its hub; `factory` knows nobody but whom a
manifest has announced, and takes one-time passcodes.
"""

from sandbox import ports

EST_PROFILE = "IOT_0e57c0de-0000-4000-8000-000000000001"
REST_PROFILE = "IOT_0e57c0de-0000-4000-8000-000000000002"
ROOT_ID = "a0000000000000000000000000000001"
ICA_ID = "a0000000000000000000000000000002"

GENERAL = """\
[profiles.{name}]
hubs = ["hub-a", "hub-b"]
allocation = "hashed"
unknown_devices = "{unknown}"
daily_limit = 1000
renewal_point = 0.8
deleted_devices = "{deleted}"
base64_lines = {lines}

[profiles.{name}.renewal]
direct_method = "renew"
grace_hours = 1
accept_expired_days = {late}
nudge_every_hours = 1

[profiles.{name}.revocation]
crl_urls = ["https://{digicert}/crl/{ica_id}.crl"]

"""

GROUP = """\
[profiles.{name}.dps]
mode = "group"
group = "{group}"

"""

INDIVIDUAL = """\
[profiles.{name}.dps]
mode = "individual"

"""

EST = """\
[profiles.{name}.upstream]
protocol = "est"
url = "https://{host}/.well-known/est/{est_profile}"
{credential}

[profiles.{name}.upstream.lookup]
url = "https://{digicert}"
api_key_secret = "digicert-api-key"
enrollment_profile_id = "{est_profile}"

[profiles.{name}.ca]
source = "est"

"""

REST = """\
[profiles.{name}.upstream]
protocol = "rest"
url = "https://{digicert}"
enrollment_profile_id = "{rest_profile}"
api_key_secret = "digicert-api-key"

[profiles.{name}.ca]
source = "ca_manager"
url = "https://{digicert}"
api_key_secret = "digicert-api-key"
ca_ids = ["{root_id}", "{ica_id}"]

"""

DEVICES = """\
[profiles.{name}.authentication]
issued_certificate = true
one_time_passcodes = {once}

[profiles.{name}.authentication.factory_certificate]
anchors = ["factory-ca.pem"]
device_id = "subject.common_name"

[profiles.{name}.authentication.passcode]
secret = "est-passcode"
existing_devices = "accept"

[profiles.{name}.request]
keys = ["rsa-2048", "rsa-3072", "rsa-4096", "ec-p256", "ec-p384", "ec-p521"]
hashes = ["sha256", "sha384", "sha512"]
subject = ["common_name"]
san = ["device_id"]
challenge_password = "ignore"
"""

PASSCODE = 'passcode_secret = "digicert-est-passcode"'
CLIENT_CERTIFICATE = 'client_certificate_secret = "digicert-client"'


def profiles() -> str:
    platform, clientauth = ports.DIGICERT_HOST, ports.DIGICERT_CLIENTAUTH_HOST
    return 'default_profile = "est"\n\n' + "\n".join(
        [
            profile("est", GROUP, EST, host=platform, credential=PASSCODE),
            profile("rest", GROUP, REST),
            profile("unwrapped", GROUP, EST, host=clientauth, credential=CLIENT_CERTIFICATE, lines="false"),
            profile("individual", INDIVIDUAL, EST, host=platform, credential=PASSCODE),
            profile("factory", GROUP, EST, host=platform, credential=PASSCODE),
        ]
    )


def profile(name: str, dps: str, upstream: str, *, host: str = "", credential: str = "", lines: str = "true") -> str:
    return (GENERAL + dps + upstream + DEVICES).format(
        name=name,
        lines=lines,
        late=7 if name == "rest" else 0,
        unknown="manifest" if name == "factory" else "accept",
        once="true" if name == "factory" else "false",
        deleted="ignore" if name == "unwrapped" else "revoke",
        group=ports.DPS_GROUP,
        host=host,
        credential=credential,
        digicert=ports.DIGICERT_HOST,
        est_profile=EST_PROFILE,
        rest_profile=REST_PROFILE,
        root_id=ROOT_ID,
        ica_id=ICA_ID,
    )
