"""Architecture rules: import layers, import cycles, pure modules, docstrings, cited files."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

from platforms import PLATFORMS_BY_ID

ROOT = Path(__file__).parent.parent
ALLOWED_IMPORTS = {
    "platforms": set[str](),
    "broker": set[str](),
    "agent": {"platforms", "broker"},
    "scenarios": {"platforms", "broker", "agent"},
    "fleet": {"platforms", "broker", "agent", "scenarios"},
    "passfleet": {"fleet"},
}
LAYERS = sorted(ALLOWED_IMPORTS)
ALLOWED_FLEET_IMPORTS = {
    "config": set[str](),
    "hosting": {"config"},
    "traces": {"config", "hosting"},
    "web": {"config"},
    "service": {"config", "hosting", "reference"},
    "load": {"config", "hosting", "service"},
    "cli": {"config", "hosting", "load", "reference", "service", "traces", "web"},
}
"""Packages below `fleet` that each of them may import."""
SOURCE_FOLDERS = {
    **dict.fromkeys(LAYERS, ROOT),
    "pytest_passfleet": ROOT / "pytest-passfleet",
}
"""Folder that each top-level package is imported from."""

PURE_AGENT_MODULES = {
    *("agent.machine", "agent.past_results", "agent.random_stream", "agent.state"),
    *("agent.command_queue", "agent.command_transitions", "agent.input_transitions"),
    *("agent.state_changes", "agent.event_effects"),
    *("agent.events", "agent.effects", "agent.passcode", "agent.fast_dataclass"),
}
PURE_STANDARD_LIBRARY = {
    *("__future__", "abc", "collections", "dataclasses", "enum", "functools", "hashlib"),
    *("itertools", "math", "struct", "types", "typing"),
}
IMPURE_BUILTINS = {"open", "print", "input", "__import__"}

TEXT_FOLDERS = (*LAYERS, "bench", "deploy", "docs", "examples", "pytest-passfleet", "tests")
CITED_FILE = re.compile(
    r"(?<![\w./{}<>~$-])((?:[\w.-]+/)+[\w.-]*\w\.(?:py|md|toml|ya?ml|sh|svg|j2))\b"
)
CITED_PAGE = re.compile(r"(?<![\w./-])([A-Z][A-Z_]+\.md)\b")
MARKDOWN_LINK = re.compile(r"\]\((?![a-z]+:)([^)#\s]+)")

FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
QUESTION = re.compile(r"\s*(?:What|Who|Whether|Where)\b")


@cache
def modules() -> dict[str, Path]:
    """Every module of the product and of the pytest plugin, by its import name."""
    found = {}
    for package, folder in SOURCE_FOLDERS.items():
        for file in sorted((folder / package).rglob("*.py")):
            parts = file.relative_to(folder).with_suffix("").parts
            found[".".join(parts).removesuffix(".__init__")] = file
    return found


@cache
def tree_of(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def imported(file: Path) -> Iterator[str]:
    """Names of all imported modules, those under TYPE_CHECKING and inside functions included."""
    for node in ast.walk(tree_of(file)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, f"{file}:{node.lineno}: relative import"
            assert node.level == 0, f"{file}:{node.lineno}: relative import"
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & set(modules())
            yield from submodules or {node.module}


def text_files(*patterns: str) -> list[Path]:
    """Files of the repository that match a pattern, at the root and in the folders with text."""
    at_root = chain.from_iterable(ROOT.glob(pattern) for pattern in patterns)
    below = (
        (ROOT / folder).rglob(pattern)
        for folder in (*TEXT_FOLDERS, ".github")
        for pattern in patterns
    )
    return sorted({*at_root, *chain.from_iterable(below)})


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_down_only(layer: str) -> None:
    forbidden = set(LAYERS) - ALLOWED_IMPORTS[layer] - {layer}
    for name, file in modules().items():
        if name.split(".")[0] == layer:
            wrong = {other for other in imported(file) if other.split(".")[0] in forbidden}
            assert not wrong, f"{file.relative_to(ROOT)} imports {wrong}"


@pytest.mark.parametrize("package", sorted(ALLOWED_FLEET_IMPORTS))
def test_packages_of_the_fleet_import_down_only(package: str) -> None:
    allowed = {package, *ALLOWED_FLEET_IMPORTS[package]}
    for name, file in modules().items():
        if name.split(".")[:2] == ["fleet", package]:
            found = {other.split(".")[1] for other in imported(file) if other.startswith("fleet.")}
            wrong = (found & set(ALLOWED_FLEET_IMPORTS)) - allowed
            assert not wrong, f"{file.relative_to(ROOT)} imports {wrong}"


def test_no_import_cycle_between_files() -> None:
    graph = {
        name: {other for other in imported(file) if other in modules()} - {name}
        for name, file in modules().items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"import cycle: {' <- '.join(error.args[1])}")


def test_product_does_not_import_tests() -> None:
    for name, file in modules().items():
        assert not {other for other in imported(file) if other.split(".")[0] == "tests"}, name


@pytest.mark.parametrize(
    "name", sorted(PURE_AGENT_MODULES | {m for m in modules() if m.split(".")[0] == "platforms"})
)
def test_state_machine_and_platforms_are_pure(name: str) -> None:
    file = modules()[name]
    allowed = PURE_STANDARD_LIBRARY | {"platforms"}
    for other in imported(file):
        assert other.split(".")[0] in allowed or other in PURE_AGENT_MODULES, other
    calls = {node.id for node in ast.walk(tree_of(file)) if isinstance(node, ast.Name)}
    assert not calls & IMPURE_BUILTINS


def test_no_platform_is_compared_by_name_outside_platforms() -> None:
    for name, file in modules().items():
        if name.split(".")[0] == "platforms":
            continue
        for node in ast.walk(tree_of(file)):
            if isinstance(node, ast.Compare):
                literals = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
                assert not literals & set(PLATFORMS_BY_ID), f"{file}:{node.lineno}"


def test_every_platform_has_its_own_file() -> None:
    for platform in PLATFORMS_BY_ID:
        assert (ROOT / "platforms" / f"{platform}.py").is_file()


def test_every_package_has_a_docstring() -> None:
    for name, file in modules().items():
        assert (file.parent / "__init__.py").is_file(), f"{name} is in no package"
        if file.name == "__init__.py":
            assert ast.get_docstring(tree_of(file)), f"{file} has no docstring"


def docstrings(file: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of all docstrings of a file, those of attributes included."""
    for node in ast.walk(tree_of(file)):
        for part in node.body if isinstance(node, ast.Module | ast.ClassDef | FUNCTIONS) else ():
            match part:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    yield part.lineno, text


def test_no_docstring_begins_with_a_question_word() -> None:
    """Docstrings begin with a noun phrase or a verb."""
    others = chain.from_iterable((ROOT / folder).rglob("*.py") for folder in ("bench", "tests"))
    offenders = [
        f"{file.relative_to(ROOT)}:{line}: {text[:60]}"
        for file in [*modules().values(), *sorted(others)]
        for line, text in docstrings(file)
        if QUESTION.match(text)
    ]
    assert not offenders, "\n".join(offenders)


@pytest.mark.parametrize("package", sorted(SOURCE_FOLDERS))
def test_every_top_level_package_is_marked_as_typed(package: str) -> None:
    assert (SOURCE_FOLDERS[package] / package / "py.typed").is_file()


@pytest.mark.parametrize(
    "file", text_files("*.md", "*.py"), ids=lambda file: str(file.relative_to(ROOT))
)
def test_cited_files_exist(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    folders = {*TEXT_FOLDERS, ".ci", ".github"}
    missing = {
        path
        for path in CITED_FILE.findall(text)
        if path.split("/")[0] in folders and not (ROOT / path).is_file()
    }
    missing |= {page for page in CITED_PAGE.findall(text) if not (ROOT / page).is_file()}
    if file.suffix == ".md":
        links = MARKDOWN_LINK.findall(text)
        missing |= {link for link in links if not (file.parent / link).exists()}
    assert not missing
