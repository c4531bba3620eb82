"""How a program ends when somebody ends it."""

import signal

INTERRUPTED = 130  # as a shell tells it


def interrupt_when_told_to_end() -> None:
    """Let a closed terminal and a polite `kill` end this program as Ctrl-C does: with all its cleaning up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
