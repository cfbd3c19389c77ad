"""Everything that a trigger can call, as one value that wiring makes."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.flows.adopt import Adopt
from shared.flows.announce import Announce
from shared.flows.backlog import Backlog
from shared.flows.batch import Batching
from shared.flows.batch_run import BatchRun
from shared.flows.census import Census
from shared.flows.enroll import Enroll
from shared.flows.manifest import Manifest
from shared.flows.operate import Operate
from shared.flows.ports.secrets import RenewableSecrets
from shared.flows.provision import Provision
from shared.flows.ready import Ready
from shared.flows.renew import Renew
from shared.flows.revocation_sync import RevocationSync
from shared.flows.revoke import Revoke
from shared.flows.rotate import Rotate
from shared.flows.survey import Survey
from shared.flows.sweep import Sweep
from shared.flows.trust_reconcile import TrustReconcile


@dataclass(frozen=True)
class Application:
    """`client_certificate_header` is empty when no front end is known to remove a client's own copy of it.

    `front_end_secret_name` names the secret by which such a front end proves itself, or is empty where nothing else
    can reach the app. `platform_authenticates` says that App Service signs operators in and vouches for their names.
    `seconds` measures durations.
    """

    enroll: Enroll
    provision: Provision
    adopt: Adopt
    rotate: Rotate
    revoke: Revoke
    renew: Renew
    announce: Announce
    sweep: Sweep
    revocation_sync: RevocationSync
    trust_reconcile: TrustReconcile
    operate: Operate
    batching: Batching
    batch_run: BatchRun
    manifest: Manifest
    survey: Survey
    backlog: Backlog
    census: Census
    secrets: RenewableSecrets
    client_certificate_header: str
    front_end_secret_name: str
    platform_authenticates: bool
    ready: Ready
    seconds: Callable[[], float]
