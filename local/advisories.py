"""Known vulnerabilities in what is locked, as pip-audit tells them: `python -m local.advisories PIP_AUDIT LOCK_FILE…`.

pip-audit asks PyPI. Behind a mirror that does not pass advisories on it finds nothing and exits 0, which looks like a
clean bill. Here a finding fails, and whatever was not looked at is said loudly; with REQUIRE_AUDIT=1 in the environment
that fails too.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

_SHOWN = 3
_ITS_VERDICTS = (0, 1)  # nothing found; something found, or it could not ask. More: it was called wrongly


@dataclass(frozen=True, slots=True)
class Audit:
    """What came of it: each finding in a line, how many packages were looked at, and which ones were not, and why."""

    findings: Sequence[str]
    audited: int
    skipped: Sequence[str]


def read(report: str) -> Audit:
    """Read pip-audit's JSON. Raises `ValueError` where it is none."""
    findings, audited, skipped = [], 0, []
    for package in json.loads(report)["dependencies"]:
        if "skip_reason" in package:
            skipped.append(f"{package['name']}: {package['skip_reason']}")
            continue
        audited += 1
        for each in package["vulns"]:
            mended = ", ".join(each["fix_versions"]) or "no version"
            findings.append(f"{package['name']} {package['version']}: {each['id']}, mended in {mended}")
    return Audit(findings, audited, skipped)


def main(arguments: Sequence[str]) -> int:
    """Audit the files; 1 where something is found, 0 where nothing is, be it because nobody could be asked."""
    pip_audit, *files = arguments
    command = [pip_audit, "--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off"]
    command += [part for file in files for part in ("--requirement", file)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if run.returncode not in _ITS_VERDICTS:
        console.print(run.stderr, markup=False)
        return run.returncode
    try:
        audit = read(run.stdout)
    except ValueError:  # it broke off, as it does without a network
        reason = (run.stderr.strip().splitlines() or ["it said nothing"])[-1]
        audit = Audit([], 0, [f"pip-audit: {reason}"])
    for finding in audit.findings:
        console.print(f"VULNERABLE {finding}", style="bold red", markup=False)
    if audit.skipped:
        console.print(
            f"NOT AUDITED for known vulnerabilities: {len(audit.skipped)} of what is locked", style="bold yellow"
        )
        for each in audit.skipped[:_SHOWN]:
            console.print(f"  {each}", markup=False)
        console.print("  Run `make lint` where PyPI's advisories can be reached before you deploy.", style="yellow")
        console.print("  With REQUIRE_AUDIT=1 this fails.")
    console.print(f"{audit.audited} packages audited, {len(audit.findings)} known vulnerabilities")
    return 1 if audit.findings or (audit.skipped and os.environ.get("REQUIRE_AUDIT") == "1") else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
