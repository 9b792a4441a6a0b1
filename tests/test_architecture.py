"""The architecture, enforced: the tables below are it, and every module's imports are read against them.

Owns the levels and the rules of the tree; must not import the package: it judges text.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGE: Final = "bridge_monitor"

# A room (a package or module below bridge_monitor) imports rooms of lower levels, and itself.
LEVELS: Final[dict[int, frozenset[str]]] = {
    7: frozenset({"__main__", "cli", "daemon", "config"}),
    6: frozenset({"web"}),
    5: frozenset({"report", "alerting", "responder"}),
    4: frozenset({"probes", "store", "sim"}),
    3: frozenset({"net"}),
    2: frozenset({"sip", "webrtc", "diagnosis"}),
    1: frozenset({"sdp", "rtp", "quality", "schedule"}),
    0: frozenset({"domain", "errors"}),
}
# The only arrows between rooms of one level: composition has an order of its own.
WITHIN_LEVEL: Final = frozenset(
    {("__main__", "cli"), ("cli", "daemon"), ("cli", "config"), ("daemon", "config"), ("domain", "errors")}
)
# Arrows that point downwards and are forbidden all the same: the simulated nation must not share our judgement.
NEVER: Final = frozenset({("sim", "schedule"), ("sim", "diagnosis"), ("sim", "webrtc")})

# Levels 0 to 2 are pure: now, tokens and SSRCs are passed in, so that every test of them runs in virtual time.
PURE: Final = frozenset().union(*(LEVELS[level] for level in (0, 1, 2)))
IMPURE_MODULES: Final = frozenset(
    {"asyncio", "concurrent", "multiprocessing", "random", "secrets", "select", "selectors", "socket", "ssl"}
    | {"subprocess", "threading", "time"}
)
IMPURE_NAMES: Final = frozenset(
    {"os.urandom", "os.getrandom", "np.random", "numpy.random", "uuid.uuid1", "uuid.uuid4"}
    | {"datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
)

# Modules of these levels that hold a function have a test file of their own: tests/<room>/test_<module>.py.
MIRRORED_LEVELS: Final = (0, 1, 2, 3)
LONGEST_FILE: Final = 450

Function = ast.FunctionDef | ast.AsyncFunctionDef

SOURCES: Final = sorted((ROOT / PACKAGE).rglob("*.py"))
TESTS: Final = sorted((ROOT / "tests").rglob("*.py"))
SCRIPTS: Final = sorted(
    path
    for path in (ROOT / "scripts").iterdir()
    if path.is_file() and path.read_bytes().partition(b"\n")[0].endswith(b"python3")
)
TREES: Final = {path: ast.parse(path.read_bytes(), filename=str(path)) for path in [*SOURCES, *TESTS, *SCRIPTS]}


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _room(path: Path) -> str:
    """Return the room a source file belongs to; empty for the package's own ``__init__``."""
    first = path.relative_to(ROOT / PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def _level(room: str) -> int | None:
    return next((level for level, rooms in LEVELS.items() if room in rooms), None)


ROOMS: Final = frozenset(room for path in SOURCES if (room := _room(path)))


def _imported(tree: ast.AST, module: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Yield line and full dotted name of everything a module imports, whether at its top, in a function or for typing.

    Args:
        tree: The module.
        module: Its dotted name's parts; for a package they end with ``__init__``.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(module[: len(module) - node.level]) if node.level else []
            base += node.module.split(".") if node.module else []
            yield from ((node.lineno, ".".join([*base, alias.name])) for alias in node.names)


def _imports_of(path: Path) -> Iterator[tuple[int, str]]:
    return _imported(TREES[path], path.relative_to(ROOT).with_suffix("").parts)


def _arrow_problem(room: str, other: str) -> str | None:
    """Return why ``room`` must not import ``other``, or None."""
    here, there = _level(room), _level(other)
    if here is None or there is None:
        return "a room that the table of levels does not name"
    if room == other or (room, other) in WITHIN_LEVEL:
        return None
    if (room, other) in NEVER:
        return "forbidden by name"
    return None if there < here else f"level {here} must not import level {there}"


def _dotted(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and the last two names of each dotted name used: ``os.urandom``, ``datetime.now``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            value = node.value
            owner = value.id if isinstance(value, ast.Name) else value.attr if isinstance(value, ast.Attribute) else ""
            yield node.lineno, f"{owner}.{node.attr}"


def _impurities(tree: ast.AST, imports: Iterable[tuple[int, str]]) -> Iterator[str]:
    for line, name in imports:
        parts = name.split(".")
        if parts[0] in IMPURE_MODULES or not IMPURE_NAMES.isdisjoint(map(".".join, pairwise(parts))):
            yield f"{line}: imports {name}"
    for line, name in _dotted(tree):
        if name in IMPURE_NAMES:
            yield f"{line}: uses {name}"


class TestLevels:
    def test_every_room_stands_in_the_table_of_levels(self) -> None:
        assert {room for room in ROOMS if _level(room) is None} == set()

    def test_no_room_stands_on_two_levels(self) -> None:
        rooms = [room for level in LEVELS.values() for room in level]
        assert sorted(rooms) == sorted(set(rooms))

    def test_a_module_imports_only_rooms_below_it_and_its_own(self) -> None:
        wrong = []
        for path in SOURCES:
            room = _room(path)
            for line, name in _imports_of(path):
                parts = name.split(".")
                if parts[0] == PACKAGE and len(parts) > 1 and parts[1] in ROOMS:
                    problem = _arrow_problem(room, parts[1]) if room else "the package's own __init__ imports nothing"
                    if problem:
                        wrong.append(f"{_name(path)}:{line}: imports {name}: {problem}")
        assert not wrong, "\n".join(wrong)

    def test_a_module_of_levels_0_to_2_knows_no_clock_no_socket_and_no_chance(self) -> None:
        pure = [path for path in SOURCES if _room(path) in PURE]
        wrong = [f"{_name(path)}:{text}" for path in pure for text in _impurities(TREES[path], _imports_of(path))]
        assert not wrong, "\n".join(wrong)

    def test_the_rules_see_each_kind_of_wrong_import(self) -> None:
        """The checks above could pass by seeing nothing: here they must see."""
        text = """
import bridge_monitor.web
from bridge_monitor import net as n
from ..cli import main
def later():
    from bridge_monitor.probes.call import place
    import time
    return np.random.default_rng(), os.urandom(4), datetime.datetime.now(), clock.time()
from os import urandom
"""
        tree = ast.parse(text)
        imports = list(_imported(tree, (PACKAGE, "sip", "agent")))
        names = {name for _, name in imports}
        assert {"bridge_monitor.web", "bridge_monitor.net", "bridge_monitor.cli.main"} <= names
        assert "bridge_monitor.probes.call.place" in names
        assert {wrong.split(": ")[1] for wrong in _impurities(tree, imports)} == {
            "imports time",
            "imports os.urandom",
            "uses np.random",
            "uses os.urandom",
            "uses datetime.now",
        }

    @pytest.mark.parametrize(
        ("room", "other", "allowed"),
        [
            ("sip", "domain", True),
            ("sip", "sip", True),
            ("cli", "daemon", True),
            ("sip", "diagnosis", False),
            ("sip", "net", False),
            ("daemon", "cli", False),
            ("sim", "net", True),
            ("sim", "schedule", False),
            ("probes", "store", False),
            ("sip", "unheard_of", False),
        ],
    )
    def test_an_arrow_is_allowed_downwards_only(self, room: str, other: str, allowed: bool) -> None:  # noqa: FBT001 - a table's column
        assert (_arrow_problem(room, other) is None) == allowed


class TestFiles:
    def test_a_file_is_short_enough_to_be_read_whole(self) -> None:
        """Past the limit, look for the second noun in the file."""
        lengths = {_name(path): len(path.read_text("utf-8").splitlines()) for path in TREES}
        assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}

    def test_a_module_says_what_it_owns(self) -> None:
        assert [_name(path) for path in [*SOURCES, *SCRIPTS] if not ast.get_docstring(TREES[path])] == []

    def test_every_package_folder_is_a_package(self) -> None:
        folders = {path.parent for path in SOURCES}
        assert [_name(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def _needs_mirror(path: Path) -> bool:
    """Tell whether a module holds something to test: a function; plain facts and lists of exports hold none."""
    return (
        _level(_room(path)) in MIRRORED_LEVELS
        and path.stem != "__main__"
        and any(isinstance(node, Function) for node in ast.walk(TREES[path]))
    )


def _mirrors(path: Path) -> list[Path]:
    """Return the files that may test a module: in its package's mirror, or one level up with the package's name."""
    *folders, module = path.relative_to(ROOT / PACKAGE).with_suffix("").parts
    module = module.strip("_")
    found = [ROOT / "tests" / Path(*folders) / f"test_{module}.py"]
    if len(folders) > 1:
        found.append(ROOT / "tests" / Path(*folders[:-1]) / f"test_{folders[-1]}_{module}.py")
    return found


class TestMirror:
    def test_a_module_of_levels_0_to_3_has_a_test_file_of_its_own(self) -> None:
        lonely = [path for path in SOURCES if _needs_mirror(path) and not any(map(Path.exists, _mirrors(path)))]
        assert not lonely, "\n".join(f"{_name(path)} has no {_name(_mirrors(path)[0])}" for path in lonely)


# Calls that fail a test by themselves. Suppressing one syntax error is how a parser's test says "raises nothing else".
ASSERTING_CALLS: Final = re.compile(r"^(raises|warns|fail|assert_\w+|suppress \w+SyntaxError)$")


def _functions(tree: ast.AST) -> dict[str, Function]:
    return {node.name: node for node in ast.walk(tree) if isinstance(node, Function)}


def _called(function: Function) -> Iterator[str]:
    """Yield the names of what a function calls; ``suppress`` together with what it suppresses."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            yield " ".join([name, *(getattr(given, "id", "") for given in node.args)]) if name == "suppress" else name


def _can_fail(function: Function, helpers: dict[str, Function], seen: frozenset[str] = frozenset()) -> bool:
    """Tell whether a function asserts something that isn't a constant, itself or through helpers of its file."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert) and not isinstance(node.test, ast.Constant | ast.Tuple):
            return True
    called = set(_called(function)) - seen - {function.name}
    if any(ASSERTING_CALLS.match(name) for name in called):
        return True
    return any(_can_fail(helpers[name], helpers, seen | called | {function.name}) for name in called & set(helpers))


def _is_sentence(function: Function) -> bool:
    return bool(ast.get_docstring(function)) or len(function.name.split("_")) > 3


TEST_FUNCTIONS: Final = [
    (f"{_name(path)}:{function.lineno}: {function.name}", path, function)
    for path in TESTS
    if path.name.startswith("test_")
    for function in ast.walk(TREES[path])
    if isinstance(function, Function) and function.name.startswith("test_")
]


class TestTests:
    def test_a_test_asserts_something(self) -> None:
        idle = [place for place, path, function in TEST_FUNCTIONS if not _can_fail(function, _functions(TREES[path]))]
        assert not idle, "\n".join(idle)

    def test_a_test_states_its_behaviour_in_a_name_of_three_words_or_a_docstring(self) -> None:
        silent = [place for place, _, function in TEST_FUNCTIONS if not _is_sentence(function)]
        assert not silent, "\n".join(silent)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("def test_a():\n    assert x == 1", True),
            ("def test_a():\n    assert True", False),
            ("def test_a():\n    assert (x == 1, 'told')", False),
            ("def test_a():\n    run()", False),
            ("def test_a():\n    with pytest.raises(E):\n        run()", True),
            ("def check():\n    assert x\ndef test_a():\n    check()", True),
            ("def check():\n    test_a()\ndef test_a():\n    check()", False),
            ("def test_a():\n    with suppress(SipSyntaxError):\n        parse(b)", True),
            ("def test_a():\n    with suppress(Exception):\n        parse(b)", False),
        ],
    )
    def test_the_search_for_asserts_sees_constants_and_helpers(self, text: str, expected: bool) -> None:  # noqa: FBT001 - a table's column
        functions = _functions(ast.parse(text))
        assert _can_fail(functions["test_a"], functions) == expected


IGNORED_FOLDERS: Final = frozenset({".git", ".venv", "build", "dist", "state", "htmlcov", "__pycache__"})
# Written in two halves each, so that this file does not match itself.
BAD_TEXT: Final = re.compile(
    "|".join(
        [
            "/wo" + r"rk/\w",
            "/ro" + r"ot/\w",
            "/ho" + r"me/\w",
            "/tm" + r"p/w/",
            r"\.\./sha" + "red",
            r"\bpy" + r"env\b",
            r"py" + r"pi\.org|pythonho" + "sted",
            r"--(extra-)?in" + r"dex-url|--find-" + "links",
        ]
    )
)


def _project_files() -> list[Path]:
    """Return what git would hold; in a copy without git, everything but what is made by tools."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        return [path for name in listed.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and not any(
            part in IGNORED_FOLDERS or (part.startswith(".") and part.endswith(("cache", ".hypothesis")))
            for part in path.relative_to(ROOT).parts
        )
    ]


class TestNoPlaceOfOurs:
    def test_no_file_names_a_machine_s_path_or_a_package_index(self) -> None:
        wrong = []
        for path in _project_files():
            for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1):
                if found := BAD_TEXT.search(line):
                    wrong.append(f"{_name(path)}:{number}: {found[0]}")
        assert not wrong, "\n".join(wrong)

    def test_the_search_would_find_them(self) -> None:
        for text in ("cd /ho" + "me/someone", "--in" + "dex-url x", "https://py" + "pi.org/simple"):
            assert BAD_TEXT.search(text)
