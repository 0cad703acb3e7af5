"""What a run records of every step, whatever its stages do."""

from burnish.platform.statistics.metric import Metric

STEP_SECONDS = "time/step_seconds"

RUN = (
    Metric(name=STEP_SECONDS, meaning="Seconds of the step by the clock, saving left out."),
    Metric(name="time/<span>_seconds", meaning="Seconds of a part of the step, as `run.span` names it."),
    Metric(name="compile/count", meaning="Programs compiled during the step; 0 once all shapes are known."),
    Metric(name="compile/seconds", meaning="Seconds that compiling programs took in the step."),
    Metric(
        name="memory/peak_bytes",
        meaning="Most bytes in use so far: of the device where it tells, else of the process.",
    ),
)
