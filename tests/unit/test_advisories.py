"""`make lint` never hides a known vulnerability, nor that nobody could be asked about one."""

import json
import stat

import pytest

from local.advisories import main

SOUND = {"name": "sound", "version": "1", "vulns": []}
SKIPPED = {"name": "skipped", "skip_reason": "not found on PyPI"}
BROKEN = {"name": "broken", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}


@pytest.fixture
def pip_audit(tmp_path, monkeypatch):
    """Make a program that prints what pip-audit would."""
    monkeypatch.delenv("REQUIRE_AUDIT", raising=False)

    def make(output, code=0, error=""):
        program = tmp_path / "pip-audit"
        program.write_text(f"#!/bin/sh\ncat <<'EOF'\n{output}\nEOF\necho '{error}' >&2\nexit {code}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        return str(program)

    return make


def report(*packages):
    return json.dumps({"dependencies": packages, "fixes": []})


def test_nothing_found_in_what_was_looked_at_passes(pip_audit, capfd):
    assert main([pip_audit(report(SOUND)), "lock"]) == 0
    assert "1 packages audited, 0 known" in capfd.readouterr().err


def test_a_finding_fails_and_is_named(pip_audit, capfd):
    assert main([pip_audit(report(SOUND, SKIPPED, BROKEN), code=1), "lock"]) == 1
    told = capfd.readouterr().err
    assert "VULNERABLE broken 2: PYSEC-1, mended in 3" in told
    assert "NOT AUDITED" in told


@pytest.mark.parametrize(("required", "code"), [("0", 0), ("1", 1)])
def test_what_was_not_audited_is_said_loudly(pip_audit, capfd, monkeypatch, required, code):
    monkeypatch.setenv("REQUIRE_AUDIT", required)
    assert main([pip_audit(report(SOUND, SKIPPED)), "lock"]) == code
    assert "NOT AUDITED for known vulnerabilities: 1" in capfd.readouterr().err


def test_without_a_network_it_passes_and_says_so(pip_audit, capfd):
    assert main([pip_audit("", code=1, error="requests.exceptions.ConnectionError: no route"), "lock"]) == 0
    told = capfd.readouterr().err
    assert "NOT AUDITED" in told
    assert "no route" in told


def test_a_wrong_call_fails(pip_audit, capfd):
    assert main([pip_audit("", code=2, error="no such option"), "lock"]) == 2
    assert "no such option" in capfd.readouterr().err
