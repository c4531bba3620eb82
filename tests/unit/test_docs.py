"""What the pages name exists: files, headings, functions, decisions; and what they promise of themselves holds."""

import ast
import re
from functools import cache
from itertools import pairwise

import pytest

from local.options import ROOT

PACKAGE = ROOT / "layers" / "messaging" / "cxone_messaging"
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("events/*.md"))
}
PROSE = {name: re.sub(r"```.*?```", "", text, flags=re.DOTALL) for name, text in PAGES.items()}
DECISIONS = PAGES["docs/decisions.md"]
# Files that only come to be, or that are gone, as their pages say.
NOT_KEPT = {"audit/faults.csv", "tests/security/iam/node_modules", "assembly/", ".local/stack.json", "dist/"}
ELSEWHERE = {".venv", ".venv-checks", ".git", ".tools", ".aws-sam", "node_modules", "__pycache__"}


def anchors(page):
    """Give the anchors that GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", PAGES[page], flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}


def found(path):
    """Find a file that a page names: from the root, from the layer's package, or by a pattern."""
    return next((base / path for base in (ROOT, PACKAGE) if (base / path).exists()), None)


@cache
def ours():
    """List our files and folders, as `/path/from/the/root`, without what is installed, built or left behind."""
    folders, paths = [ROOT], []
    while folders:
        for path in folders.pop().iterdir():
            if path.name not in ELSEWHERE:
                paths.append("/" + path.relative_to(ROOT).as_posix())
                folders += [path] if path.is_dir() and not path.is_symlink() else []
    return paths


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    folder = (ROOT / page).parent
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", PROSE[page]):
        path, _, anchor = link.partition("#")
        target = (folder / path).resolve() if path else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.relative_to(ROOT).as_posix()), link


@pytest.mark.parametrize("page", sorted(set(PAGES) - {"CHANGELOG.md"}))
def test_files_that_are_named_exist(page):
    named = set(re.findall(r"`((?:[a-z_][\w.-]*/)+[\w.-]*|[\w-]+\.(?:py|toml|md))`", PROSE[page])) - NOT_KEPT
    missing = {each.rstrip("/") for each in named if found(each) is None}
    assert {each for each in missing if not any(path.endswith("/" + each) for path in ours())} == set()


def defined(path):
    """Name what a module defines, methods as `Class.method`."""
    names = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{each.name}" for each in node.body if isinstance(each, ast.FunctionDef)}
    return names


def test_the_code_tour_names_what_stands_in_the_file_that_it_names():
    """Each `name` goes with the last file named before it, in its paragraph or row."""
    checked = 0
    for block in re.split(r"\n\n|\n(?=[|\d-])", PAGES["docs/code-tour.md"]):
        module = None
        for each in re.findall(r"`([^`]+)`", block):
            if each.endswith(".py"):
                module = found(each)
                assert module, each
            elif (name := re.fullmatch(r"(_?[A-Za-z]\w*(?:\.\w+)?)(\(\))?", each)) and (name[2] or "." in each):
                assert module, f"{each} without a file"
                assert name[1] in defined(module), f"{each} is not in {module.name}"
                checked += 1
    assert checked >= 25


def test_each_decision_is_in_the_index_once_with_a_status():
    index, _, text = DECISIONS.partition("\n## 1. ")
    heads = dict(re.findall(r"^## (\d+)\. (.+)$", "## 1. " + text, re.MULTILINE))
    rows = re.findall(r"^\| \[(\d+)\. ([^\]]+)\]\(#[^)]+\) \| (.+) \|$", index, re.MULTILINE)
    assert sorted((number, title) for number, title, _ in rows) == sorted(heads.items())
    for number, _, status in rows:
        assert status == "in force" or re.match(r"in force, amended by \d+|overturned by \d+", status), number
        assert all(int(other) > int(number) and other in heads for other in re.findall(r"\d+", status)), number


def test_decisions_are_numbered_without_a_gap():
    numbers = [int(each) for each in re.findall(r"^## (\d+)\. ", DECISIONS, re.MULTILINE)]
    assert numbers[0] == 1
    assert all(after == before + 1 for before, after in pairwise(numbers))


def test_terms_of_the_glossary_come_in_alphabetical_order():
    terms = re.findall(r"^\*\*([^*]+)\*\*", PAGES["docs/glossary.md"], re.MULTILINE)
    assert len(terms) >= 40
    assert terms == sorted(terms, key=str.casefold)


def test_the_readme_is_short_and_says_early_that_the_api_is_unconfirmed():
    lines = PAGES["README.md"].splitlines()
    assert len(lines) <= 150
    assert "no public source confirms" in " ".join(lines[:15]).casefold()
