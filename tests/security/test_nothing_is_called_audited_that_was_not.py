"""Claim: `make lint` fails on a known vulnerability, and says so where it could not look one up."""

import os
import re
import shutil
import subprocess

import pytest

from local.options import ROOT

MAKE = shutil.which("make") or "make"
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
SKIPPED = "Name Skip Reason\n---- ---\nuv   not found on PyPI"
FOUND = "Name Version ID Fix Versions\n---- --- --- ---\nbroken 2 PYSEC-1 3"


@pytest.fixture
def lint(tmp_path):
    """Run the Makefile's own recipe with a pip-audit that answers as it is told."""
    (variable,) = re.findall(r"^override AUDIT := (?:.*\\\n)*.*$", MAKEFILE, re.MULTILINE)
    (recipe,) = re.findall(r'^\t@if \[\[ "\$\$REQUIRE_AUDIT"(?:.*\\\n)*.*$', MAKEFILE, re.MULTILINE)
    (tmp_path / "Makefile").write_text(f"SHELL := /bin/bash\nCHECKS_BIN := .\n{variable}\nlint:\n{recipe}\n")

    def lint(output, code, required=""):
        program = tmp_path / "pip-audit"
        strict = "[[ $* == *--strict* && -n $output ]] && exit 1"
        program.write_text(f"#!/bin/bash\noutput='{output}'\n{strict}\necho -n \"$output\"\nexit {code}\n")
        program.chmod(0o755)
        # `make test` would have this make say which folder it enters.
        environment = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL"}}
        environment["REQUIRE_AUDIT"] = required
        called = {"cwd": tmp_path, "env": environment, "capture_output": True, "text": True}
        return subprocess.run([MAKE, "lint"], check=False, **called)  # noqa: S603

    return lint


def test_nothing_found_in_all_that_is_locked_passes_and_is_silent(lint):
    for required in ("", "1"):
        done = lint("", 0, required)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("required", ["", "1"])
def test_a_finding_fails(lint, required):
    done = lint(FOUND, 1, required)
    assert done.returncode != 0
    assert required or "PYSEC-1" in done.stdout


@pytest.mark.parametrize(("output", "code"), [(SKIPPED, 0), ("", 1)], ids=["a mirror without advisories", "offline"])
def test_what_was_not_audited_is_said_in_one_loud_line_and_fails_where_it_must_be(lint, output, code):
    done = lint(output, code)
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1)
    assert done.stderr.startswith("NOT AUDITED")
    assert lint(output, code, "1").returncode != 0
