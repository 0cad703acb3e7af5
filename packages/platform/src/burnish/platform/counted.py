"""Numbers with their nouns, as lines for a reader have them."""


def counted(number: float, noun: str) -> str:
    """Return a number and its noun, which takes an s unless there is one: `1 step`, `1,200 rows`.

    A number that is not whole keeps three digits.
    """
    told = f"{number:,}" if isinstance(number, int) else f"{number:.3g}"
    return f"{told} {noun}" if told == "1" else f"{told} {noun}s"
