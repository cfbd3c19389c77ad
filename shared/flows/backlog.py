"""What is waiting: messages in queues and in poison queues, sagas that have not come to their end."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.flows.ports.clock import Clock
from shared.flows.ports.operators import Poison, Queues
from shared.flows.survey import Survey


@dataclass(frozen=True, slots=True)
class Waiting:
    """By queue: for how many seconds its oldest message has been waiting, and how many have become poison.

    `saga_age` is in seconds since the oldest unfinished saga was begun. What does not wait is 0.
    """

    ages: Mapping[str, float]
    poison: Mapping[str, int]
    saga_age: float


@dataclass(frozen=True)
class Backlog:
    """Looks, and changes nothing."""

    queues: Queues
    poison: Poison
    survey: Survey
    clock: Clock

    async def look(self) -> Waiting:
        """Raises Unavailable."""
        sagas = await self.survey.sagas(stuck=False)
        begun = min((saga.begun for _, saga in sagas.found), default=None)
        return Waiting(
            ages=await self.queues.ages(),
            poison=await self.poison.counts(),
            saga_age=(self.clock() - begun).total_seconds() if begun else 0.0,
        )
