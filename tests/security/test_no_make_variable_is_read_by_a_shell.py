"""No value of a make variable is read by make or by a shell: it reaches its program whole, or is refused."""

import argparse
import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cli import app, invoke
from cli.audit import command as audit
from cli.campaign import command as campaign
from local import verbs
from local.options import ROOT

MAKE = shutil.which("make") or "make"
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
VERBS = re.findall(r"^([a-z]+):.*## ", MAKEFILE, re.MULTILINE)
PASSED_ON = [
    *("STACK", "TABLE", "DAY", "CAMPAIGN", "TEMPLATE", "OUT", "NOTED", "AS_OF", "RECIPIENT", "EVENT", "FILE", "TEXT"),
    *("YES", "CAMPAIGN_FLAGS", "BENCH_FLAGS", "DOCS_PORT", "ARCHITECTURE", "MINISTACK_PORT", "SIMULATOR_PORT"),
    *("REQUIRE_AUDIT", "CXONE_CLIENT_ID", "CXONE_CLIENT_SECRET", "CXONE_SMS_BASE_URL", "CXONE_API_BASE_URL"),
    *("CXONE_CAMPAIGN_ID", "CXONE_FROM_NUMBER", "CXONE_OPERATOR_ID", "TOKEN_STORE"),
]
# What the Makefile itself is made of, what a shell would look at, and what nobody has heard of.
OTHERS = [
    *(
        "SECONDS",
        "FUZZ_SECONDS",
        "UPGRADE",
        "BIN",
        "UV",
        "READY",
        "CODE",
        "GROUPS",
        "EXPLORE",
        "CHECKS_BIN",
        "LOCK_FLAGS",
        "WHEELS",
        "IAM",
        "IAM_READY",
        "XDG_CACHE_HOME",
        "__SAM_CLI_APP_DIR",
        "PIP_CACHE_DIR",
        "npm_config_cache",
    ),
    *("SYNC", "GIVEN", "SHELL", ".SHELLFLAGS", "CURDIR", "MAKEFILE_LIST", "MAKEOVERRIDES", "BASH_ENV", "ENV", "PS4"),
    *("SHELLOPTS", "ANYTHING"),
]
VALUES = {
    "make's shell": "$(shell touch pwned)",
    "make's braces": "${shell touch pwned}",
    "make's eval": "$(eval $(shell touch pwned))$(file >pwned,x)",
    "command substitution": "$(touch pwned)",
    "backquotes": "`touch pwned`",
    "semicolon": "a; touch pwned; #",
    "double quotes": 'a"; touch pwned; "$(touch pwned)',
    "single quotes": "a'; touch pwned; '`touch pwned`",
    "newlines": "a\ntouch pwned\n\ttouch pwned\n",
    "dollars": "$$(touch pwned) $$$$ $5 $",
    "spaces": "a  b\t* ~ { } ( ) < > | & ! [x] \\ \\\\ # %  ",
    "options": "--yes --out=pwned",
    "make's operators": ":=$(shell touch pwned)",
    "make's shell operator": "!=touch pwned",
}
CHECKS = (".venv-checks/bin/checkov", ".venv-checks/bin/pip-audit")
# Thousands of these are started, so it imports nothing that is not there anyway.
STUB = """#!{python} -IS
import os, sys
with open({record!r}, "a") as file:
    file.write(repr([sys.argv, dict(os.environ)]) + "\\n")
"""


class Clone:
    """A clone whose tools are all there, and record how they are called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = folder.parent / "record"
        for name in (
            "Makefile",
            "pyproject.toml",
            "requirements.lock",
            "requirements-checks.lock",
            "requirements-uv.lock",
        ):
            shutil.copy(ROOT / name, folder)
        stub = STUB.format(python=sys.executable, record=str(self.record))
        for path in (*(f".venv/bin/{each}" for each in self.tools()), *CHECKS, ".tools/bin/uv"):
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(stub)
            file.chmod(0o755)
        (folder / "tests/security/iam/node_modules").mkdir(parents=True)
        (folder / "tests/security/iam/package-lock.json").touch()
        for ready in (".venv", ".venv-checks", "tests/security/iam/node_modules"):
            (folder / ready / ".ready").touch()

    @staticmethod
    def tools() -> list[str]:
        return ["python", "pytest", "ruff", "mypy", "lint-imports", "cfn-lint", "sam", "uv"]

    def make(self, *arguments, environment=None):
        """Run make; gives the calls that it made, and what it said."""
        self.record.unlink(missing_ok=True)
        clean = {name: os.environ[name] for name in ("PATH", "HOME")}
        done = subprocess.run(  # noqa: S603
            [MAKE, *arguments],
            cwd=self.folder,
            env={**clean, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        lines = self.record.read_text().splitlines() if self.record.exists() else []
        return [ast.literal_eval(line) for line in lines], done.stdout + done.stderr

    def pwned(self):
        return [str(path) for path in self.folder.rglob("pwned*")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("make") / "clone"
    folder.mkdir()
    return Clone(folder)


@pytest.fixture
def clone(whole):
    """Give the clone as it was: without what an attack has left there."""
    yield whole
    for path in whole.pwned():
        Path(path).unlink()


@pytest.mark.parametrize("verb", [each for each in VERBS if each != "clean"])
@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_a_value_on_the_command_line_runs_nothing_and_arrives_whole(clone, verb, value):
    calls, said = clone.make(verb, *(f"{name}={value}" for name in PASSED_ON + OTHERS))
    assert clone.pwned() == [], said
    assert verb == "help" or calls, said
    for _, environment in calls:
        assert {name: environment.get(name) for name in PASSED_ON} == dict.fromkeys(PASSED_ON, value)
        assert "touch" not in environment.get("MAKEFLAGS", "")
        assert not {"BASH_ENV", "ENV", "ANYTHING"} & environment.keys()
        assert verb != "fuzzapi" or environment["FUZZ_SECONDS"] == value
    for arguments, _ in calls:
        assert not [each for each in arguments if "touch" in each]


@pytest.mark.parametrize("verb", [each for each in VERBS if each != "clean"])
@pytest.mark.parametrize("options", [(), ("--environment-overrides",)])
def test_a_value_in_the_environment_runs_nothing_and_arrives_whole(clone, verb, options):
    value = "".join(VALUES.values())
    # What bash itself looks at in the user's own environment is the user's; so is SHELL.
    names = [*PASSED_ON, *OTHERS[: OTHERS.index("SHELL")], "CURDIR", "MAKEFILE_LIST", "ANYTHING"]
    calls, said = clone.make(*options, verb, environment=dict.fromkeys(names, value))
    assert clone.pwned() == [], said
    assert verb == "help" or calls, said
    for arguments, environment in calls:
        assert {name: environment.get(name) for name in PASSED_ON} == dict.fromkeys(PASSED_ON, value)
        assert not [each for each in arguments if "touch" in each]


def test_no_recipe_names_a_variable_that_is_given():
    recipes = "\n".join(line for line in MAKEFILE.splitlines() if line.startswith("\t"))
    named = set(re.findall(r"\$[({](?:value )?(\w+)", recipes))
    assert not named & {*PASSED_ON, "SECONDS", "UPGRADE"}


def test_all_that_the_makefile_passes_on_is_tried():
    (listed,) = re.findall(r"^override PASSED_ON := ((?:.*\\\n)*.*)$", MAKEFILE, re.MULTILINE)
    numbers = {"HISTORIES", "PROOF", "FUZZ"}  # recipes set them
    assert {each for each in listed.replace("\\", "").split() if "%" not in each} - numbers <= set(PASSED_ON)


def parsed(monkeypatch, verb, **variables):
    """Give what a verb's own program makes of variables, and its environment."""
    arguments, environment = verbs.command(verb, variables)
    monkeypatch.setattr(sys, "argv", arguments[1:])
    for name in ("CAMPAIGN_TEXT", "AUDIT_RECIPIENT"):
        monkeypatch.setenv(name, environment.get(name, ""))
    if verb == "bench":
        from bench import __main__ as bench  # noqa: PLC0415  matplotlib takes long to import

        return bench._options(), environment
    assert arguments[:3] == ["-m", "cli", verb]
    monkeypatch.setattr(sys, "argv", arguments[1:])
    runs = []
    for module in (audit, campaign):
        monkeypatch.setattr(module, "run", lambda options: runs.append(options) or 0)
    given = lambda event, stack, as_json: runs.append(SimpleNamespace(event=event, stack=stack)) or 0  # noqa: E731
    monkeypatch.setattr(invoke, "run", given)
    with pytest.raises(SystemExit) as ended:
        app.main()
    if ended.value.code:
        raise ended.value
    return runs[0], environment


class TestPrograms:
    """What make hands to `local.verbs` comes out of the program's own parser as it went in."""

    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
    def test_audit(self, monkeypatch, value):
        names = {"STACK": "stack", "TABLE": "table", "CAMPAIGN": "campaign", "TEMPLATE": "template", "OUT": "out"}
        told, environment = parsed(monkeypatch, "audit", RECIPIENT=value, **dict.fromkeys(names, value))
        assert {field: str(getattr(told, field)) for field in names.values()} == {
            **dict.fromkeys(names.values(), value),
            "out": str(Path(value)),
        }
        assert told.recipient == environment["AUDIT_RECIPIENT"] == value

    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
    @pytest.mark.parametrize("name", ["DAY", "NOTED", "AS_OF"])
    def test_audit_refuses_what_is_no_date(self, monkeypatch, capsys, name, value):
        with pytest.raises(SystemExit) as ended:
            parsed(monkeypatch, "audit", **{name: value})
        assert ended.value.code == 2
        assert f"--{name.lower().replace('_', '-')}" in capsys.readouterr().err

    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
    def test_campaign(self, monkeypatch, value):
        told, environment = parsed(monkeypatch, "campaign", STACK=value, FILE=value, TEXT=value, YES=value)
        assert (told.stack, told.file, told.yes) == (value, Path(value), False)
        assert told.text == environment["CAMPAIGN_TEXT"] == value

    def test_campaign_flags_are_split_as_a_shell_does_and_not_expanded(self, monkeypatch):
        flags = "--name 'summer $(touch pwned)' --batch-size 5 --refused \"a `b`.csv\""
        told, _ = parsed(monkeypatch, "campaign", FILE="people.csv", CAMPAIGN_FLAGS=flags, YES="1")
        assert (told.name, told.batch_size, told.yes) == ("summer $(touch pwned)", 5, True)
        assert told.refused == Path("a `b`.csv")
        with pytest.raises(verbs.VerbError, match="CAMPAIGN_FLAGS"):
            verbs.command("campaign", {"FILE": "a", "CAMPAIGN_FLAGS": "'"})

    @pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
    def test_invoke(self, monkeypatch, value):
        told, _ = parsed(monkeypatch, "invoke", EVENT=value, STACK=value)
        assert (told.event, told.stack) == (Path(value), value)

    def test_bench(self, monkeypatch):
        told, _ = parsed(monkeypatch, "bench", BENCH_FLAGS="--only cold cost --rounds 2")
        assert (told.only, told.rounds) == (["cold", "cost"], 2)
        told, _ = parsed(monkeypatch, "bench", BENCH_FLAGS="--only pace --scenario jitter others --runs 1")
        assert (told.only, told.scenario, told.runs) == (["pace"], ["jitter", "others"], 1)
        assert isinstance(parsed(monkeypatch, "bench")[0], argparse.Namespace)

    @pytest.mark.parametrize(("verb", "name"), [("invoke", "EVENT"), ("campaign", "FILE")])
    def test_what_is_missing_is_named(self, verb, name):
        with pytest.raises(verbs.VerbError, match=f"{name}="):
            verbs.command(verb, {name: ""})

    def test_an_inherited_recipient_is_not_taken_for_a_given_one(self):
        _, environment = verbs.command("audit", {"AUDIT_RECIPIENT": "+12025550100"})
        assert "AUDIT_RECIPIENT" not in environment


@pytest.mark.parametrize("value", [*VALUES.values(), "", "arm64 $(shell touch pwned)", "ARM64"])
def test_an_architecture_that_is_none_is_refused_before_anything_reads_it(tmp_path, value):
    """The layer's Makefile, which `sam build` runs, by itself too."""
    shutil.copy(ROOT / "layers/messaging/Makefile", tmp_path)
    environment = {"PATH": os.environ["PATH"], "ARTIFACTS_DIR": str(tmp_path / "artifacts"), "ARCHITECTURE": value}
    done = subprocess.run(  # noqa: S603
        [MAKE, "build-MessagingLayer"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "ARCHITECTURE is neither" in done.stderr) == (2, True), done.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["Makefile"]
    with pytest.raises(verbs.VerbError, match="ARCHITECTURE"):
        verbs.command("build", {"ARCHITECTURE": value})
