"""The command itself: joins the steps to Azure, prints a line for each, and ends with 0, 1 or 2."""

import asyncio
import logging
import secrets
import sys
import time
from contextlib import AsyncExitStack
from os import environ  # noqa: TID251 - this command is a composition root of its own, as wiring is the app's

from azure.core.exceptions import AzureError
from azure.identity.aio import DefaultAzureCredential
from azure.keyvault.secrets.aio import SecretClient
from azure.mgmt.iothubprovisioningservices.aio import IotDpsClient

from infra.setup import ready, secrets_file, trial, wanted
from infra.setup.arguments import Options, parse
from infra.setup.control_plane import PATIENCE, ROLE, ControlPlane
from infra.setup.groups import EnrollmentGroups
from infra.setup.refused import Refused, by_azure
from infra.setup.run import Mark, Setup
from infra.setup.trial import Proof
from infra.setup.vault import GivenFirst, Vault
from infra.setup.wanted import Chain
from shared import profiles
from shared.adapters import digicert, tls
from shared.adapters.dps import SCOPE, DpsService
from shared.adapters.key_vault import KeyVault
from shared.core.errors import Misconfigured
from shared.core.profile import Label, Profiles
from shared.wiring import now, transport
from shared.wiring.digicert_one import Connections


def main() -> int:
    logging.getLogger("azure").setLevel(logging.CRITICAL)  # what goes wrong there is told as a refusal
    options = parse(sys.argv[1:], environ)
    try:
        asyncio.run(_run(options))
    except Refused as refused:
        return stopped(f"refused: {refused.what}\n{refused.remedy}")
    except AzureError as error:  # a sign-in that fails outside of the calls
        said = by_azure(error, "sign in", ROLE)
        return stopped(f"refused: {said.what}\n{said.remedy}")
    except KeyboardInterrupt:
        return stopped("interrupted; run the command again to go on")
    return 0


def stopped(text: str) -> int:
    print(f"\n{text}", file=sys.stderr)
    return 1


def say(mark: Mark, text: str) -> None:
    print(f"{mark:<12}{text}", flush=True)


async def _run(options: Options) -> None:
    known = _profiles(options)
    named = wanted.secrets(known)
    given = secrets_file.read(options.secrets, named)
    async with AsyncExitStack() as stack:
        credential = await stack.enter_async_context(DefaultAzureCredential())
        http = await stack.enter_async_context(digicert.client(tls.context()))
        vault = await stack.enter_async_context(SecretClient(options.vault_url, credential))
        arm = IotDpsClient(credential, options.subscription, options.resource_manager or None, **PATIENCE)
        await stack.enter_async_context(arm)

        async def token() -> str:
            return str((await credential.get_token(SCOPE)).token)

        chains = Connections(GivenFirst(given, KeyVault(vault, time.monotonic)), http, transport)
        stack.push_async_callback(chains.aclose)
        setup = Setup(
            options=options,
            profiles=known,
            plane=ControlPlane(arm, options.subscription, options.resource_group, options.dps, options.dps_group),
            vault=Vault(vault),
            groups=lambda host: EnrollmentGroups(DpsService(transport(), http, host, token)),
            sources={label: chains.chain(profile) for label, profile in known.by_label.items()},
            named=named,
            given=given,
            clock=now,
            say=say,
        )
        host, fetched = await setup.run()
        if options.plan:
            say("note", f"{setup.changes} changes would be made; nothing was changed")
            return
        await ready.wait(http, host)
        say("checked", f"the app at https://{host} is ready")
        if options.check_enrollment is not None:
            await _try(options.check_enrollment, host, known, fetched, Vault(vault))
        say("note", f"{setup.changes} changes were made" if setup.changes else "nothing had to be changed")


def _profiles(options: Options) -> Profiles:
    try:
        return profiles.load(options.profiles, options.hub_hosts)
    except Misconfigured as error:
        raise Refused(
            f"the profiles are not in order\n{error.cause}", "Mend them, and run the command again."
        ) from error


async def _try(path: str, host: str, known: Profiles, chains: dict[Label, Chain], vault: Vault) -> None:
    """A new device each time: a known one may not come with a passcode."""
    profile = known.by_label[known.default]
    proof = trial.proof(path) if path else await _passcode(known, vault)
    name = f"setup-check-{secrets.token_hex(4)}"
    leaf = await trial.enroll(host, profile, chains[profile.label], proof, name)
    if leaf is None:
        say("checked", "the enrollment of a test device is accepted; DigiCert ONE decides later")
        return
    device = leaf.subject.rfc4514_string().removeprefix("CN=")
    say("checked", f"the test device {device} has its certificate {leaf.serial_number:x}")
    say("note", f"POST https://{host}/api/devices/{device}/decommission, with a function key, takes it back")


async def _passcode(known: Profiles, vault: Vault) -> Proof:
    passcode = known.by_label[known.default].authentication.passcode
    if passcode is None:
        text = f"the profile {known.default} takes no passcode"
        raise Refused(text, "--check-enrollment FILE, with a factory certificate and its key as PEM.")
    return Proof((await vault.read(passcode.secret) or "").strip())


if __name__ == "__main__":
    sys.exit(main())
