"""The console of a run, which goes on when nobody reads it any more."""

import os
import sys
from contextlib import suppress

from rich.console import Console


class LastingConsole(Console):
    """A console that is silent once its reader has gone, as in `train | head -1`; rich's ends the process.

    What else is written to the same descriptor goes nowhere either, Python's last flush included.
    """

    def on_broken_pipe(self) -> None:
        """Be silent from now on, and say so where somebody may read it."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())
        if not self.stderr:
            with suppress(OSError):
                sys.stderr.write("nobody reads standard output any more; what follows is not shown\n")
