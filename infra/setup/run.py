"""The setup, step by step: each reads what is there, decides, writes what is missing, and says which of both it was."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from cryptography import x509

from infra.setup import decide, decide_group, wanted
from infra.setup.arguments import Options
from infra.setup.control_plane import ControlPlane
from infra.setup.decide import HeldCertificate, Upload
from infra.setup.groups import EnrollmentGroups
from infra.setup.refused import AGAIN, ChangedMeanwhile, Refused, by_product
from infra.setup.secrets_file import template
from infra.setup.vault import Vault
from infra.setup.wanted import Chain, SecretForm, WantedGroup, Webhook, value_problem
from shared.core.chain import check_chain
from shared.core.errors import Refusal
from shared.core.issuer import thumbprint
from shared.core.profile import Label, Profiles
from shared.flows.ports.issuance import ChainSource

type Mark = Literal["already so", "done", "would", "checked", "note"]

ALLOCATION: Final = "allocation"  # the name of the webhook's function, and the end of its path
_TRIES: Final = 100
_REST: Final = 3.0
_CREDENTIALS: Final = (
    "Check the profile's tables [upstream] and [ca] and the secrets that they name; CA Manager wants the permission "
    "VIEW_CM_CA. Then run the command again."
)
_UNVERIFIED: Final = (
    "The other way, proof of possession, needs the CA's key, which is DigiCert's. In the portal, under Certificates of "
    'the DPS, delete this one and add it anew with "Set certificate status to verified on upload". Or let DigiCert '
    "issue a certificate under this root, with the code of `az iot dps certificate generate-verification-code` as its "
    "common name, and hand it to `az iot dps certificate verify`. Then run the command again."
)


@dataclass
class Setup:
    """One run. `given` are the secrets that were handed over; `groups` makes the adapter for a DPS's service host."""

    options: Options
    profiles: Profiles
    plane: ControlPlane
    vault: Vault
    groups: Callable[[str], EnrollmentGroups]
    sources: Mapping[Label, ChainSource]
    named: Mapping[str, SecretForm]
    given: Mapping[str, str] = field(repr=False)
    clock: Callable[[], datetime]
    say: Callable[[Mark, str], None]
    rest: Callable[[float], Awaitable[None]] = asyncio.sleep
    changes: int = 0

    async def run(self) -> tuple[str, dict[Label, Chain]]:
        """All steps. Where the app answers, and the labels' chains, for the checks. Raises Refused."""
        dps_host = await self.hubs()
        await self.secrets()
        chains = await self.chains()
        by_group = wanted.group_labels(self.profiles)
        for root in wanted.roots(chains, [label for labels in by_group.values() for label in labels]):
            await self.root(root)
        host = self.options.host or await self.plane.site_host(self.options.function_app)
        if by_group:
            key = await self.plane.function_key(self.options.function_app, ALLOCATION)
            webhook = Webhook(f"https://{host}/api/{ALLOCATION}", key)
            for one in wanted.groups(self.profiles, chains, self.options.hub_hosts, self.clock()):
                await self.group(self.groups(dps_host), one, webhook)
        return host, chains

    async def hubs(self) -> str:
        """Every hub of the profiles is linked to the DPS. The DPS's service host."""
        needed = wanted.links(self.profiles, self.options.hub_hosts)

        async def once() -> tuple[str, tuple[decide.Link, ...]]:
            found = await self.plane.service()
            if not found.active:
                raise ChangedMeanwhile("the DPS is in transition")
            changes = decide.links(found.links, needed)
            locations = await self.plane.hub_locations() if any(one.new for one in changes) else {}
            for one in changes:
                if one.new and one.host.lower() not in locations:
                    text = f"there is no IoT hub {one.host} that you can see in this subscription"
                    raise Refused(
                        text, f"Check --hub {one.name}=HOST, or link it yourself: az iot dps linked-hub create."
                    )
            if any(one.new for one in changes):
                decide.link_by(found.identity, self.options.dps, self.options.dps_group)
            if changes and not self.options.plan:
                await self.plane.link(found, changes, locations)
            return found.host, changes

        host, changes = await self._again(once)
        changed = {one.host: one for one in changes}
        for each in needed:
            link = changed.get(each.host)
            if link is None:
                self.say("already so", f"hub {each.name} ({each.host}) is linked")
            elif link.new:
                self._wrote(f"link hub {link.name} ({link.host}) by the identity of the DPS, weight {link.weight}")
            else:
                self._wrote(f"give hub {link.name} ({link.host}) the weight {link.weight}")
        return host

    async def secrets(self) -> None:
        """Every secret that a profile names is in Key Vault, in its form; what was handed over is its newest value."""
        missing: dict[str, SecretForm] = {}
        for name, form in sorted(self.named.items()):
            held, value = await self.vault.read(name), self.given.get(name)
            if value is None or value == held:
                if held is None:
                    missing[name] = form
                elif problem := value_problem(form, held):
                    raise Refused(f"the secret {name} in Key Vault {problem}", template({name: form}))
                else:
                    self.say("already so", f"secret {name} is in Key Vault")
                continue
            if not self.options.plan:
                await self.vault.write(name, value)
            self._wrote(f"put {'the secret' if held is None else 'a new version of the secret'} {name} into Key Vault")
        if missing:
            raise Refused(f"Key Vault has no secret {', '.join(missing)}", template(missing))

    async def chains(self) -> dict[Label, Chain]:
        """Root and issuing CAs of each label, from where its profile says."""
        chains: dict[Label, Chain] = {}
        for label, source in self.sources.items():
            try:
                chains[label] = check_chain(await source.fetch())
            except Refusal as refusal:
                raise by_product(
                    refusal, f"fetch the CA certificates of the profile {label}", _CREDENTIALS
                ) from refusal
            self.say("checked", f"CA certificates of {label}: {', '.join(_called(one) for one in chains[label])}")
        return chains

    async def root(self, root: x509.Certificate) -> None:
        """DPS holds the root as verified."""

        async def once() -> Upload | HeldCertificate:
            decided = decide.upload(await self.plane.certificates(), root)
            if isinstance(decided, Upload) and not self.options.plan:
                verified = await self.plane.upload(decided.name, decided.etag, root)
                if not verified:
                    raise Refused(f"DPS has taken the root as {decided.name}, but not as verified", _UNVERIFIED)
            return decided

        decided = await self._again(once)
        if isinstance(decided, Upload):
            self._wrote(f"upload the root {_called(root)} to the DPS as {decided.name}, verified")
        else:
            self.say("already so", f"the root {_called(root)} is verified in the DPS as {decided.name}")

    async def group(self, groups: EnrollmentGroups, needed: WantedGroup, webhook: Webhook) -> None:
        """The group trusts the CAs that issue now, and asks the webhook."""

        async def once() -> tuple[tuple[str, ...], object]:
            found = await groups.read(needed.name)
            change = decide_group.group(found, needed, webhook, self.options.dps)
            if change is not None and not self.options.plan:
                await groups.write(needed.name, found, change)
            return (change.changes if change else ()), found and found.document.get("provisioningStatus")

        changes, status = await self._again(once)
        if changes:
            self._wrote(f"enrollment group {needed.name}: {'; '.join(changes)}")
        else:
            self.say("already so", f"enrollment group {needed.name} trusts its CAs and asks the webhook")
        if status == "disabled":
            self.say("note", f"enrollment group {needed.name} is disabled, and stays so: nobody registers through it")

    async def _again[T](self, once: Callable[[], Awaitable[T]]) -> T:
        """What `once` returns, begun anew for as long as others, or Azure itself, are changing what it works on."""
        said = ""
        for attempt in range(_TRIES):
            if attempt:
                await self.rest(_REST)
            try:
                return await once()
            except ChangedMeanwhile as error:
                said = str(error)
        raise Refused(f"it does not come to rest: {said}", AGAIN)

    def _wrote(self, text: str) -> None:
        self.changes += 1
        self.say("would" if self.options.plan else "done", text)


def _called(authority: x509.Certificate) -> str:
    return f"{authority.subject.rfc4514_string()} ({thumbprint(authority)[:8]})"
