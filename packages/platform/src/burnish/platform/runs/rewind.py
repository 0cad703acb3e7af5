"""Going back to an earlier point of a run, as one transaction.

The intent is written before anything is removed, and whoever opens the run next finishes what it says: no
reader takes a run for complete whose rows are half gone.
"""

from collections.abc import Callable, Mapping

from burnish.platform import atomic
from burnish.platform.checkpoint.manifest import Verified
from burnish.platform.configuration.config import Config
from burnish.platform.runs.checkpoints import checkpoints_of
from burnish.platform.runs.finished_stage import MARK
from burnish.platform.runs.records import read_record
from burnish.platform.runs.run_directory import RunDirectory
from burnish.platform.statistics.event_files import DIRECTORY as EVENTS
from burnish.platform.statistics.event_files import event_cuts
from burnish.platform.statistics.rows import row_cut, size_of_rows_kept

_WITHOUT_INTENT = "delete it: the run goes on from its newest checkpoint that has its rows"


def rewind(
    root: RunDirectory,
    config: Config,
    stage_index: int,
    step: int | None,
    records: Mapping[str, int] | None = None,
) -> None:
    """Keep the stages before `stage_index` (from 1) and that stage up to `step`; None is its beginning.

    `records` are those of the checkpoint of `step`, where it has some. RunError for a row that cannot be
    read: then nothing has changed.
    """
    cuts = _row_cuts(root, config, stage_index, step) + _event_cuts(root, config, stage_index, step, records)
    root.write_json(root.REWIND, {"stage_index": stage_index, "step": step, "records": records})
    root.status("running")
    _remove_what_lies_past(root, config, stage_index, step)
    for cut in cuts:
        cut()
    atomic.remove(root.path / root.REWIND)


def finish_rewind(root: RunDirectory, config: Config) -> None:
    """Finish the rewind that a process has begun and not ended, if there is one."""
    intent = root.path / root.REWIND
    if intent.is_file():
        wanted = read_record(intent, {"stage_index": int}, _WITHOUT_INTENT)
        rewind(root, config, wanted["stage_index"], wanted["step"], wanted.get("records"))


def incomplete_rows(root: RunDirectory, config: Config, stage_index: int, checkpoint: Verified) -> list[str]:
    """Return the files whose rows up to a checkpoint's step are not as many bytes as when it was saved."""
    keeps = _keeps(config, stage_index, int(checkpoint.facts["step"]))
    recorded: Mapping[str, int] = checkpoint.facts.get("records", {})
    records = {name: size for name, size in recorded.items() if not name.startswith(f"{EVENTS}/")}
    return [name for name, size in records.items() if size_of_rows_kept(root.path / name, keeps) != size]


def _row_cuts(
    root: RunDirectory, config: Config, stage_index: int, step: int | None
) -> list[Callable[[], None]]:
    return [row_cut(file, _keeps(config, stage_index, step)) for file in root.row_files]


def _event_cuts(
    root: RunDirectory,
    config: Config,
    stage_index: int,
    step: int | None,
    records: Mapping[str, int] | None,
) -> list[Callable[[], None]]:
    names = list(config.stages)
    num_kept = stage_index - 1 if step is None else stage_index
    # Where a stage begins anew, those before it are complete.
    return event_cuts(root.path, names[num_kept:], names[:num_kept], None if step is None else records)


def _keeps(config: Config, stage_index: int, step: int | None) -> Callable[[str, int], bool]:
    """Return what tells the rows of earlier stages, and those up to a step, from all others."""
    order = {name: index for index, name in enumerate(config.stages, 1)}

    def keeps(stage: str, row: int) -> bool:
        index = order.get(stage, 0)
        return index < stage_index or (index == stage_index and step is not None and row <= step)

    return keeps


def _remove_what_lies_past(root: RunDirectory, config: Config, stage_index: int, step: int | None) -> None:
    """Remove later stages and checkpoints, the latest first, and what dead processes left half written."""
    names = list(config.stages)
    atomic.sweep(root.path)
    for index, name in reversed(list(enumerate(names, 1))):
        if index > stage_index or (index == stage_index and step is None):
            atomic.remove(root.stage(index, name))
    current = root.stage(stage_index, names[stage_index - 1])
    atomic.remove(current / MARK)
    if step is not None:
        checkpoints_of(current, config.checkpoint).discard_after(step)
