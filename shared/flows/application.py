"""Everything that a trigger can call, as one value that wiring makes."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.flows.enroll import Enroll
from shared.flows.ports import Secrets
from shared.flows.provision import Provision
from shared.flows.ready import Ready


@dataclass(frozen=True)
class Application:
    """`client_certificate_header` is empty when no front end is known to remove a client's own copy of it.

    `front_end_secret_name` names the secret by which such a front end proves itself, or is empty where nothing else
    can reach the app. `seconds` measures durations.
    """

    enroll: Enroll
    provision: Provision
    secrets: Secrets
    client_certificate_header: str
    front_end_secret_name: str
    ready: Ready
    seconds: Callable[[], float]
