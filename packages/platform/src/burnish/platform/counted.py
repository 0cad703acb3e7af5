"""Numbers with their nouns, as lines for a reader have them."""


def counted(number: float, noun: str) -> str:
    """Return a number and its noun, which takes an s unless there is one: `1 step`, `1,200 rows`.

    A number that is not whole keeps three digits, or those before the point.
    """
    told = f"{number:.3g}" if number < 999.5 and isinstance(number, float) else f"{round(number):,}"
    return f"{told} {noun}" if told == "1" else f"{told} {noun}s"
