"""Who may import whom, and what `import vidseg` must not drag in."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "vidseg"

# A part may import parts of lower levels, and of its own where that makes no circle. New parts are added here.
LEVELS = (
    ("types", "errors"),
    ("adaptation", "heap", "inertia", "masks", "config", "processor", "prompt_check", "registry", "threads", "worker"),
    ("abreast",),
    ("video", "model", "downloads", "prompts", "stopwatch", "tracks"),
    ("checkpoint", "memory", "picture", "postprocess", "scene"),
    ("window",),
    ("gaze", "grab_cut", "second_look", "state"),
    ("correction",),
    ("tracker", "result", "image", "automatic", "weights"),
    ("encode_ahead",),
    ("learner", "train", "evaluate", "annotate", "batch", "bench", "job", "run_folder", "run", "image_files"),
    ("cli", "__init__", "__main__"),
)
LEVEL = {name: n for n, names in enumerate(LEVELS) for name in names}

# The parts that others rely on being independent, and all that they may import.
CLOSED = {
    "types": set(),
    "errors": set(),
    "masks": {"types", "errors"},
    "video": {"types", "errors", "masks"},
    "model": {"types", "errors", "processor"},
}
# Imported inside functions only, so that nobody pays for what is not used or needs what is not installed.
LAZY = {
    "decord",
    "ray",
    "starlette",
    "uvicorn",
    "websockets",
    "supervision",
    "matplotlib",
    "transformers",
    "pycocotools",
    "triton",
}
# Modules that are themselves imported lazily, because they are about one of these packages.
ABOUT = {"annotate/server.py": {"starlette", "uvicorn", "websockets"}}

FILES = sorted(PACKAGE.rglob("*.py"))


def part(path: Path) -> str:
    """The part of the package that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, *, top_level: bool = False):
    """Yield the full names of modules a file imports when it runs; `top_level`: those imported with it."""
    package = ("vidseg", *path.relative_to(PACKAGE).parts[:-1])
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = ".".join([*base, *([node.module] if node.module else [])])
            yield from ([f"{name}.{alias.name}" for alias in node.names] if name == "vidseg" else [name])
        elif not (top_level and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))):
            waiting += ast.iter_child_nodes(node)


def parts_imported(path: Path) -> set[str]:
    """The other parts of the package that a file imports."""
    names = (name.split(".") for name in imports(path))
    return {name[1] for name in names if name[0] == "vidseg" and len(name) > 1 and name[1] in LEVEL} - {part(path)}


def test_every_part_has_its_place():
    assert {part(path) for path in FILES} - set(LEVEL) == set(), "give the new part a level in this file"


def test_nobody_imports_upward():
    upward = {
        (path.relative_to(PACKAGE).as_posix(), name)
        for path in FILES
        for name in parts_imported(path)
        if LEVEL[name] > LEVEL.get(part(path), -1) or name not in CLOSED.get(part(path), LEVEL)
    }
    assert upward == set()


def test_parts_do_not_import_each_other_in_circles():
    graph: dict[str, set[str]] = {}
    for path in FILES:
        graph.setdefault(part(path), set()).update(parts_imported(path) if part(path) != "__init__" else ())
    while leaves := [name for name, targets in graph.items() if not targets & set(graph)]:
        for name in leaves:
            del graph[name]
    assert graph == {}


@pytest.mark.parametrize("folder", ["video", "masks"])
def test_video_and_masks_do_without_torch(folder):
    for path in (PACKAGE / folder).rglob("*.py"):
        assert "torch" not in {name.split(".")[0] for name in imports(path)}, path


def test_optional_and_heavy_packages_are_imported_where_they_are_used():
    for path in FILES:
        name = path.relative_to(PACKAGE).as_posix()
        early = {module.split(".")[0] for module in imports(path, top_level=True)} & LAZY
        assert early <= ABOUT.get(name, set()), path


def test_help_and_the_public_names_are_ready_without_torch():
    """`vidseg --help`, `import vidseg` and its light names answer at once."""
    program = (
        "import sys, vidseg, vidseg.cli\n"
        "vidseg.cli.build_parser(), vidseg.Click, vidseg.Prompt, vidseg.VidsegError\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded) & (LAZY | {"torch", "cv2", "av", "safetensors", "tqdm", "sqlite3"}) == set()


def test_loading_a_model_does_not_import_torchs_compiler():
    """It would take a second and 80 MB, which torch asks for to fill tensors that hold nothing."""
    program = "import sys, vidseg; vidseg.load_model(); print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "'torch'" in loaded and "'sympy'" not in loaded
