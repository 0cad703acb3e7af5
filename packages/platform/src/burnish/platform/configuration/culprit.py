"""Which wheel an error passes through that burnish does not publish."""

import traceback

from burnish.platform.configuration.registry import maker_of_module


def note_maker(error: BaseException) -> None:
    """Add to an error's traceback the innermost line of it that is of somebody else's distribution.

    A component that is named by its import path is the user's own, and its file is in the traceback.
    """
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        if maker := maker_of_module(str(frame.f_globals.get("__name__", ""))):
            where = f"{frame.f_code.co_filename}:{line}, {frame.f_code.co_name}"
            error.add_note(f"this is code{maker}, no part of burnish: {where}")
            return
