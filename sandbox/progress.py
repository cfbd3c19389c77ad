"""How far something long has come: a bar on a terminal, and a line now and then where there is none."""

import threading
from dataclasses import dataclass, field
from typing import Final, TextIO

WIDTH: Final = 30
QUIET: Final = 0.25  # of the whole, between two lines where there is no terminal


@dataclass
class Progress:
    """`what` are the things that are counted. Several threads may step on."""

    whole: int
    what: str
    out: TextIO
    done: int = 0
    shown: float = -1.0
    turn: threading.Lock = field(default_factory=threading.Lock)

    def step(self) -> None:
        with self.turn:
            self.reach(self.done + 1)

    def reach(self, done: int) -> None:
        self.done = done
        share = done / self.whole
        line = f"[{'█' * round(share * WIDTH):·<{WIDTH}}] {share:6.1%} {done:,} of {self.whole:,} {self.what}"
        if self.out.isatty():
            print(f"\r\x1b[K{line}", end="", file=self.out, flush=True)
        elif done == self.whole or share - self.shown >= QUIET:
            self.shown = share
            print(line, file=self.out, flush=True)

    def end(self) -> None:
        """Where it has come to stays on the terminal."""
        if self.out.isatty():
            print(file=self.out, flush=True)
