"""jax's cache of compiled programs: an entry that is damaged is replaced, and a line says so.

jax goes on without an entry that it cannot read, but neither removes nor overwrites it: it would warn for
ever. It tells of it by a warning, which is heard here; a cache is no part of a run and never ends one.
"""

# jax's own annotations are partial, which strict mode reports at every use.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import glob
import logging
import re
import warnings
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

_TOLD = re.compile(
    r"Error (reading|writing) persistent compilation cache entry for '(?P<program>.+?)': \w+: (?P<reason>.*)",
    re.DOTALL,
)


@cache
def replace_damaged_entries() -> None:
    """See to it, once and for good, that entries which jax cannot read or write are removed and told of."""
    shown = warnings.showwarning

    def show(message: Warning | str, *where: Any, **options: Any) -> None:
        told = _TOLD.match(str(message))
        if told is None:
            shown(message, *where, **options)
        else:
            _drop(told["program"], " ".join(told["reason"].split()))

    warnings.showwarning = show


def _drop(program: str, reason: str) -> None:
    """Remove the entries of a program: jax does not say which, and the others are compiled anew."""
    import jax

    directory = Path(jax.config.jax_compilation_cache_dir or "")  # pyright: ignore[reportAttributeAccessIssue] - made at run time
    for entry in directory.glob(f"{glob.escape(program)}-*-cache"):
        with suppress(OSError):
            entry.unlink()
    _log.warning(
        "warning: the compilation cache '%s' cannot use its entry of '%s' (%s): it is compiled anew",
        directory,
        program,
        reason,
    )
