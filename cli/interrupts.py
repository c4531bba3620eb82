"""How a program ends when a user or a signal ends it."""

import signal

INTERRUPTED = 130  # a shell's exit code after Ctrl-C


def interrupt_on_signals() -> None:
    """Make a closed terminal and a `kill` end this program as Ctrl-C does, with its cleanup."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
