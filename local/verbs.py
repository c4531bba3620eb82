"""The make verbs with variables: `python -m local.verbs audit` is `cxone-messaging audit` with their values.

Make puts its variables into the environment and no recipe names one, so neither make nor a shell reads their values.
"""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cli.progress import Progress

_USAGE = 2
_ARCHITECTURES = ("arm64", "x86_64")
# These read ARCHITECTURE in their environment.
_BUILDS = {"build": ["-m", "samcli", "build"], "package": ["-m", "local.package"]}


class VerbError(Exception):
    """A verb cannot be run with these variables; the text names the variable and the remedy."""


@dataclass(frozen=True, slots=True)
class Verb:
    """A module, and the variables that it gets: as options, as its own flags, or in its environment."""

    module: str
    subcommand: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    flags: str | None = None
    operand: str | None = None
    example: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)


VERBS = {
    "invoke": Verb(
        "cli",
        "invoke",
        options={"STACK": "--stack"},
        operand="EVENT",
        example="an event: make invoke EVENT=events/send_message/preview.json",
    ),
    "campaign": Verb(
        "cli",
        "campaign",
        options={"STACK": "--stack"},
        flags="CAMPAIGN_FLAGS",
        operand="FILE",
        example="a file: make campaign FILE=people.csv TEXT='Hello {name}'",
        renamed={"TEXT": "CAMPAIGN_TEXT"},
    ),
    "audit": Verb(
        "cli",
        "audit",
        options={
            "STACK": "--stack",
            "TABLE": "--table",
            "DAY": "--day",
            "CAMPAIGN": "--campaign",
            "TEMPLATE": "--template",
            "OUT": "--out",
            "NOTED": "--noted",
            "AS_OF": "--as-of",
        },
        # It is nobody's business: it stands in no process's arguments but make's own.
        renamed={"RECIPIENT": "AUDIT_RECIPIENT"},
    ),
    "bench": Verb("bench", flags="BENCH_FLAGS"),
}


def command(name: str, variables: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return Python's arguments and the environment that run a verb. Raises `VerbError`.

    An empty variable counts as missing. Each value is one whole argument, whatever it begins with.
    """
    if name in _BUILDS:
        check_architecture(variables.get("ARCHITECTURE", _ARCHITECTURES[0]))
        return _BUILDS[name], dict(variables)
    if name not in VERBS:
        raise VerbError(f"usage: python -m local.verbs {'|'.join((*VERBS, *_BUILDS))}")
    verb = VERBS[name]
    arguments = ["-m", verb.module, *filter(None, [verb.subcommand]), *_options(verb, variables)]
    if name == "campaign" and variables.get("YES") == "1":
        arguments.append("--yes")
    if verb.flags:
        arguments += _flags(verb.flags, variables.get(verb.flags, ""))
    if verb.operand:
        if not variables.get(verb.operand):
            raise VerbError(f"give {verb.example}")
        arguments += ["--", variables[verb.operand]]
    given = {new: variables[old] for old, new in verb.renamed.items() if variables.get(old)}
    # What is not given is not inherited under the other name either.
    kept = {variable: value for variable, value in variables.items() if variable not in verb.renamed.values()}
    return arguments, {**kept, **given}


def _options(verb: Verb, variables: Mapping[str, str]) -> Iterator[str]:
    for variable, option in verb.options.items():
        if variables.get(variable):
            yield f"{option}={variables[variable]}"


def _flags(variable: str, text: str) -> list[str]:
    try:
        return shlex.split(text)  # quotes as in a shell, and nothing else of one
    except ValueError as error:
        raise VerbError(f"{variable} can't be read: {error}") from None


def check_architecture(architecture: str) -> None:
    """Check the architecture that the layer's own Makefile is to build for. Raises `VerbError`."""
    if architecture not in _ARCHITECTURES:
        raise VerbError(f"ARCHITECTURE is {architecture!r}, but it must be {' or '.join(_ARCHITECTURES)}")


def main() -> int:
    """Replace this process by the program of a verb; return 2 if its variables are invalid."""
    try:
        arguments, environment = command(" ".join(sys.argv[1:]), os.environ)
    except VerbError as error:
        Progress().error(str(error))
        return _USAGE
    return os.execve(sys.executable, [sys.executable, *arguments], environment)  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
