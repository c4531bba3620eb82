"""Everything that is imported is declared where it is needed, and everything that is declared is used."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions

import pytest

from local.options import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
OURS = {"cxone_messaging", "functions", "cli", "local", "bench", "tests", "handler"}
DISTRIBUTIONS = packages_distributions()
# Type checkers know these by their stubs alone.
STUBS = {"mypy_boto3_dynamodb", "mypy_boto3_secretsmanager", "mypy_boto3_sqs", "mypy_boto3_ssm"}
# What is run and not imported: by the Makefile, by pytest, by mypy, by another tool.
RUN = {
    *("uv", "hatchling", "ruff", "mypy", "cfn-lint", "cfn-lint-serverless", "import-linter", "pre-commit"),
    *("boto3-stubs", "types-pyyaml", "types-requests", "awslambdaric"),
}


def name_of(requirement):
    return re.split(r"[\[>=<~! ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def declared(*groups):
    groups_of = PROJECT["dependency-groups"]
    return {name_of(each) for group in groups for each in groups_of[group]}


OPERATORS = {name_of(each) for each in PROJECT["project"]["dependencies"]}
LAYER = declared("layer", "identity") | {"boto3", "botocore"}


def statements(body):
    """Give all statements of a module's body. Only among these are imports, and there are few beside expressions."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            yield from statements(getattr(node, part, ()))


@cache
def modules_imported(path):
    """Name the foreign modules that a file imports, without what is below them."""
    names = set()
    for node in statements(ast.parse(path.read_text("utf-8")).body):
        if isinstance(node, ast.Import):
            names |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module)
    return {each.partition(".")[0] for each in names} - OURS - STUBS - sys.stdlib_module_names


def imported(folder):
    """Give the distributions that a folder's modules import, each with a module that does."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for top in modules_imported(path):
            owners = {each.lower().replace("_", "-") for each in DISTRIBUTIONS.get(top, [top])}
            found[frozenset(owners)] = str(path.relative_to(ROOT))
    return found


@pytest.mark.parametrize(
    ("folder", "may"),
    [
        ("layers/messaging/cxone_messaging", LAYER),
        ("functions", LAYER),
        ("cli", OPERATORS),
        ("local", declared("local")),
        ("bench", LAYER | declared("local", "bench", "test", "naive")),
        ("tests", LAYER | declared("local", "test", "bench")),
    ],
)
def test_all_that_is_imported_is_declared(folder, may):
    assert {file: set(owners) for owners, file in imported(folder).items() if not owners & may} == {}


def test_all_that_is_declared_is_imported_or_run():
    used = set().union(
        *(owners for each in ("layers", "functions", "cli", "local", "bench", "tests") for owners in imported(each))
    )
    everything = OPERATORS | declared(*(set(PROJECT["dependency-groups"]) - {"checks", "installer"}))
    plugins = {each for each in everything if each.startswith("pytest")}
    assert everything - used - plugins - RUN == set()
