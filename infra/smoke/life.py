"""The test device's whole life, from its birth to its end; whatever goes wrong on the way, its end is tried."""

import contextlib
from collections.abc import Callable, Generator, Iterator

from infra.smoke import birth, ending, provision, renewal
from infra.smoke.checks import Finding
from infra.smoke.trial import Living, Trial
from infra.smoke.wire import Silent


def checks(trial: Trial, meanwhile: Callable[[Living], Iterator[Finding]]) -> Generator[Finding]:
    """`meanwhile` are the checks that need two certificates, the older of which nobody needs any more."""
    name = birth.name(trial)
    asked = yield from birth.free(trial, name)
    if asked is None:
        return
    done = False
    try:
        born = yield from birth.checks(trial, name, asked)
        if born is not None:
            registered = (yield from provision.checks(trial, born)) if trial.options.id_scope else None
            living = yield from renewal.checks(trial, born, registered)
            yield from meanwhile(living)
            yield from ending.checks(trial, living)
            done = True
    finally:
        if not done:
            with contextlib.suppress(Silent):
                ending.quietly(trial, name)
