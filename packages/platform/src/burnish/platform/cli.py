"""The two commands: `train`, and `burnish` with it, `describe`, `plugins list` and installed ones under it.

What the user can fix is one line on stderr and an exit status; anything else is a bug of ours and keeps its
traceback.
"""

import importlib
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from burnish.platform.configuration.arguments import Arguments, parse
from burnish.platform.configuration.culprit import note_maker
from burnish.platform.configuration.registry import COMMANDS, PRESETS, available, known_slots, load
from burnish.platform.configuration.suggestion import suggestion
from burnish.platform.errors import BurnishError, ConfigError, line_of

USAGE = """\
burnish train [file.yaml] [key=value ...]   run a chain of stages, as the command `train` does
burnish describe slot=name                  what a component is, its options, defaults and legal values
burnish describe slot                       what is installed for a slot
burnish describe metrics                    what the statistics of a run mean
burnish plugins list                        list the installed components and where they come from
burnish --version                           print the installed versions
"""

OWN_COMMANDS = ("train", "describe", "plugins list", "--version")


def train() -> None:
    """Run the command `train` and exit."""
    sys.exit(exit_status("train", _train, sys.argv[1:]))


def main() -> None:
    """Run the command `burnish` and exit."""
    sys.exit(exit_status("burnish", _burnish, sys.argv[1:]))


def exit_status(command: str, function: Callable[[Sequence[str]], None], arguments: Sequence[str]) -> int:
    """Call a command and return its exit status; what the user can fix becomes one line on stderr."""
    try:
        function(arguments)
    except BurnishError as error:
        _say(command, line_of(error))
        return error.exit_status
    except KeyboardInterrupt:
        _say(command, "interrupted at once; nothing was saved beyond the last checkpoint")
        return 130
    except BrokenPipeError:
        # The reader has gone, as in `train --help | head`; what is buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception as error:
        note_maker(error)
        raise
    return 0


def _say(command: str, message: str) -> None:
    """Print one line; what no terminal shows, such as half a character that was typed, is escaped."""
    line = " ".join(message.split()).encode(errors="backslashreplace").decode()
    with suppress(OSError):  # nobody reads it any more
        sys.stderr.write(f"{command}: {''.join(_shown(letter) for letter in line)}\n")


def _shown(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode()


def _train(words: Sequence[str]) -> None:
    arguments = parse(words)
    if arguments.is_version:
        _print_versions()
        return
    _see_working_directory()
    from burnish.platform.configuration.composition import explained, printed_config
    from burnish.platform.runs.launch import launch

    if arguments.is_help and arguments.paths:
        _explain(arguments)
    elif arguments.is_print:
        sys.stdout.write(printed_config(arguments.overrides))
    else:
        with explained(arguments.overrides):
            launch(arguments)


def _see_working_directory() -> None:
    """Let modules be imported that lie where the command is typed, as a user's own `my_module:MyEngine`."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def _explain(arguments: Arguments) -> None:
    """Print what a component is, or what stands at a path of the config that the other words compose."""
    from burnish.platform.configuration.asked import explanation
    from burnish.platform.configuration.describe import describe_component

    for asked in arguments.paths:
        slot, equals, name = asked.partition("=")
        lines = describe_component(slot, name) if equals else explanation(arguments.overrides, asked)
        sys.stdout.write("".join(f"{line}\n" for line in lines))


def _burnish(arguments: Sequence[str]) -> None:
    match list(arguments):
        case ["train", *rest]:
            _train(rest)
        case ["plugins", "list"]:
            _list_plugins()
        case ["describe", asked] if not asked.startswith("-"):
            _see_working_directory()
            _describe(asked)
        case ["describe", *_]:
            raise ConfigError("describe takes one thing: slot=name, a slot, or metrics")
        case ["--version"]:
            _print_versions()
        case [] | ["--help" | "-h"]:
            sys.stdout.write(USAGE + _usage_of_installed())
        case words:
            _installed(words)(words[1:])


def _installed(words: Sequence[str]) -> Callable[[Sequence[str]], None]:
    """Return the command that a distribution registers, as a function of the words after its name."""
    found = available(COMMANDS)
    if words[0] not in found:
        legal = [*OWN_COMMANDS, *found]
        near = suggestion(words[0], [name for name in legal if name != words[0]])
        raise ConfigError(f"unknown command '{' '.join(words)}'{near}; legal: {', '.join(legal)}")
    _see_working_directory()
    return load(found[words[0]])


def _usage_of_installed() -> str:
    lines = (
        f"{f'burnish {name} --help':43} a command of {one.origin}"
        for name, one in available(COMMANDS).items()
    )
    return "".join(f"{line}\n" for line in lines)


def _describe(asked: str) -> None:
    from burnish.platform.configuration.describe import describe_component, describe_slot
    from burnish.platform.statistics.metric import describe_metrics

    if asked == "metrics":
        for metric, meaning in describe_metrics():
            sys.stdout.write(f"{metric:40} {meaning}\n")
        return
    slot, equals, name = asked.partition("=")
    for line in describe_component(slot, name) if equals else describe_slot(slot):
        sys.stdout.write(f"{line}\n")


def _list_plugins() -> None:
    rows = [("slot", "name", "distribution", "imported from")]
    for slot in [*known_slots(), COMMANDS, PRESETS]:
        rows += [(slot, found.name, found.origin, found.value) for found in available(slot).values()]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        sys.stdout.write(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        )


def _print_versions() -> None:
    """Print the version of each portion of the namespace, which is a distribution of its own."""
    for portion in pkgutil.iter_modules(importlib.import_module("burnish").__path__):
        distribution = f"burnish-{portion.name}"
        try:
            sys.stdout.write(f"{distribution} {version(distribution)}\n")
        except PackageNotFoundError:
            continue
