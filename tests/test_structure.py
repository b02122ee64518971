"""The repository keeps its promises: names documented, verbs explained, configs readable, messages tested."""

import argparse
import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

import vidseg
from vidseg.cli import VERBS, build_parser

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "vidseg").rglob("*.py"))


def verbs() -> dict[str, argparse.ArgumentParser]:
    """The parser of each verb, by the name it has on the command line."""
    (choices,) = [action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(choices.choices)


def parsers(parser: argparse.ArgumentParser):
    """A parser and those of the verbs below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from parsers(child)


def test_every_public_name_exists_and_is_documented():
    for name in vidseg.__all__:
        assert inspect.getdoc(getattr(vidseg, name)), name
    undocumented = []
    for path in FILES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if not any(isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__" for n in tree.body):
            continue
        module = importlib.import_module(
            ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        )
        for name in module.__all__:
            thing = getattr(module, name)
            if (inspect.isclass(thing) or inspect.isfunction(thing)) and not inspect.getdoc(thing):
                undocumented.append(f"{module.__name__}.{name}")
    assert undocumented == []
    modules = [name for name in vidseg.__all__ if inspect.ismodule(getattr(vidseg, name))]
    assert modules == []  # now that all are imported: one of that name would stand in for what it holds


def test_every_module_says_what_it_is_for():
    silent = [
        path for path in FILES if not (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").strip()
    ]
    assert silent == []


def test_every_verb_and_option_has_help():
    unexplained = [
        f"{parser.prog} {action.option_strings or action.dest}"
        for parser in parsers(build_parser())
        for action in parser._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    ]
    assert unexplained == []
    assert all(parser.description for parser in verbs().values())


@pytest.mark.parametrize("verb", [name.rstrip("_") for name in VERBS])
def test_every_verb_has_a_line_in_the_readme(verb):
    assert f"vidseg {verb}" in (ROOT / "README.md").read_text(encoding="utf-8")


def raised_messages():
    """Yield (place, constant parts of the text) of every error that the package raises with a message of its own."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            call = node.exc if isinstance(node, ast.Raise) else None
            if not isinstance(call, ast.Call) or not call.args:
                continue
            if not ast.unparse(call.func).endswith("Error") or ast.unparse(call.func) == "AssertionError":
                continue
            texts = [
                c.value for c in ast.walk(call.args[0]) if isinstance(c, ast.Constant) and isinstance(c.value, str)
            ]
            if any(len(words(text)) > 1 for text in texts):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", texts


def words(text: str) -> list[str]:
    """The words of a text or pattern, without what patterns add."""
    return re.findall(r"[A-Za-z0-9_']+", re.sub(r"\\[bdsw]", " ", text).replace("\\", ""))


def runs(text: str, length: int) -> set[tuple[str, ...]]:
    """All runs of so many words."""
    found = words(text)
    return {tuple(found[n : n + length]) for n in range(len(found) - length + 1)}


def test_every_message_that_is_raised_is_matched_by_a_test():
    """A test names at least two words in a row of it."""
    tested: set[tuple[str, ...]] = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                tested |= runs(node.value, 2)
    unmatched = [
        f"{place} {' ... '.join(texts)[:80]}"
        for place, texts in raised_messages()
        if not any(runs(text, 2) & tested for text in texts)
    ]
    assert unmatched == []


def test_every_config_loads():
    """Every settings file is one that its reader takes, and short."""
    from vidseg.config import read_config
    from vidseg.train.config import TrainConfig

    readers = {"train": TrainConfig}
    files = sorted((ROOT / "configs").rglob("*.yaml"))
    assert files
    for path in files:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 40, path
        read_config(path, readers[path.parent.name])
