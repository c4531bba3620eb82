"""How a program ends when a user or a signal ends it, and how it goes on when nobody reads its output any more."""

import io
import signal
import sys
from typing import Any

INTERRUPTED = 130  # a shell's exit code after Ctrl-C


def interrupt_on_signals() -> None:
    """Make a closed terminal and a `kill` end this program as Ctrl-C does, with its cleanup."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def outlive_readers() -> None:
    """Make a reader that leaves, such as `| head`, end the output and not the program.

    A campaign is still sent, an audit still ends with its verdict as the exit code, and nothing is said of the pipe.
    """
    sys.stdout, sys.stderr = map(_outliving, (sys.stdout, sys.stderr))


class _Output(io.FileIO):
    """A standard stream that drops what nobody reads."""

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            return memoryview(data).nbytes


def _outliving(stream: Any) -> Any:
    # Only what Python opened at its start: not a test's stand-in, not one of these, and not None, a closed stream.
    if type(stream) is not io.TextIOWrapper:
        return stream
    is_buffered = type(stream.buffer) is io.BufferedWriter
    if type(stream.buffer.raw if is_buffered else stream.buffer) is not io.FileIO:
        return stream
    stream.flush()
    output: Any = _Output(stream.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(output) if is_buffered else output,
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
