"""The doors of the commands `train` and `burnish`: signals are taken before anything else is imported."""

from burnish.platform.signals import end_at_signals


def train() -> None:
    """Run the command `train` and exit."""
    end_at_signals("train")
    from burnish.platform import cli

    cli.train()


def main() -> None:
    """Run the command `burnish` and exit."""
    end_at_signals("burnish")
    from burnish.platform import cli

    cli.main()
