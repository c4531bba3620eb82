"""Each package that is installed here has a version and a hash in a lock file, and none is built to be installed."""

import re
import tomllib

import pytest

from local.options import ROOT

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
LAYERS = [(ROOT / "layers" / name / "Makefile").read_text("utf-8") for name in ("messaging", "identity")]
LOCKS = [
    *("requirements.lock", "requirements-checks.lock", "requirements-uv.lock"),
    *("layers/messaging/requirements.txt", "layers/identity/requirements.txt"),
]
# AWS publishes wheels of these for Linux alone; elsewhere they are built, by the hash of their source.
WITHOUT_WHEELS = {"awslambdaric": "Darwin"}


def variables(makefile):
    return dict(re.findall(r"^(?:override )?(\w+) [:?]?= (.*)$", makefile, re.MULTILINE))


def commands(makefile):
    """Give each command of the recipes that installs something, its variables filled in."""
    known = variables(makefile)
    joined = makefile.replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines() if line.startswith("\t")]
    filled = [re.sub(r"\$\((SYNC|WHEELS)\)", lambda found: known[found[1]], line) for line in lines]
    return [
        line
        for line in filled
        if "pip compile" not in line and re.search(r"\bpipx? (\S+ )*?(install|sync)\b|\buv (run|tool)\b|\buvx\b", line)
    ]


INSTALLING = [*commands(MAKEFILE), *(each for layer in LAYERS for each in commands(layer))]
OWN = [each for each in INSTALLING if each.endswith("--editable .")]


def test_all_that_installs_is_looked_at():
    assert len(INSTALLING) == 6


def test_what_is_built_is_our_own_by_what_is_locked_and_nothing_is_fetched_for_it():
    (command,) = OWN
    assert {"--no-deps", "--no-index", "--no-build-isolation"} <= set(command.split())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    (backend,) = project["build-system"]["requires"]
    assert backend in project["dependency-groups"]["local"]


@pytest.mark.parametrize("command", [each for each in INSTALLING if each not in OWN])
def test_it_takes_wheels_only_and_by_hash(command):
    assert "--require-hashes" in command
    assert "--only-binary :all:" in command
    excepted = set(re.findall(r"--no-binary (\w+)", command))
    assert excepted <= set(WITHOUT_WHEELS)
    for package in excepted:
        assert f"$(if $(filter {WITHOUT_WHEELS[package]},$(shell uname)),--no-binary {package})" in command
    assert re.search(r"requirements[\w-]*\.(lock|txt)\b", command)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_one_version_and_its_hashes(lock):
    requirements = re.split(r"\n(?=\S)", (ROOT / lock).read_text("utf-8").strip())
    assert requirements
    for each in requirements:
        assert re.match(r"[a-z0-9._-]+(\[[a-z,]+\])?==[^\s;]+", each), each
        assert "--hash=sha256:" in each, each


def test_uv_is_installed_in_the_version_that_is_locked_beside_all_else():
    (uv,) = re.findall(r"^uv==\S+", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE)
    (own,) = re.findall(r"^\w.*==\S+", (ROOT / "requirements-uv.lock").read_text("utf-8"), re.MULTILINE)
    assert own == uv


def test_make_lock_makes_every_lock():
    made = re.findall(r"--output-file (\S+)", MAKEFILE)
    assert sorted(made) == sorted(LOCKS)
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    assert [each.partition(">")[0] for each in groups["installer"]] == ["uv"]
