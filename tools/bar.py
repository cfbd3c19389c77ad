"""A progress bar on a terminal, and a line now and then where there is none."""

import shutil
import sys
import time
from dataclasses import dataclass
from typing import Final, TextIO

_WIDTH: Final = 30
_QUIET_SECONDS: Final = 10.0


@dataclass
class Bar:
    stream: TextIO = sys.stderr
    shown: float = float("-inf")

    def show(self, share: float, text: str, *, last: bool = False) -> None:
        """`share` is from 0 to 1."""
        filled = round(share * _WIDTH)
        line = f"[{'█' * filled}{'·' * (_WIDTH - filled)}] {share:6.1%} {text}"
        if self.stream.isatty():
            line = line[: shutil.get_terminal_size().columns - 1]  # one that wraps is not written over
            self.stream.write(f"\r\x1b[K{line}" + ("\n" if last else ""))
            self.stream.flush()
        elif last or time.monotonic() - self.shown >= _QUIET_SECONDS:
            self.shown = time.monotonic()
            print(line, file=self.stream, flush=True)
