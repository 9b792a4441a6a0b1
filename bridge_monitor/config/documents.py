"""Reads YAML with the line of every key, and fits it to a model with every problem at once.

Owns YAML's form and the translation of the model's complaints; must not know what the keys mean. Scalars stay text as
written, so that an unquoted ``01`` is the code 01, ``20:00`` a time of day and ``no`` a name, whatever YAML 1.1 says.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from bridge_monitor.config.files import read_text
from bridge_monitor.config.problems import Problems, guess_name, listing

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULL: Final = "tag:yaml.org,2002:null"

KeyPath = tuple[str | int, ...]
"""Keys and list positions that lead to a value."""

Model = TypeVar("Model", bound="Strict")

_MESSAGES: Final[Mapping[str, str]] = {
    "missing": "missing_key",
    "extra_forbidden": "unknown_key",
    "string_type": "must_be_text",
    "model_type": "must_be_mapping",
    "dict_type": "must_be_mapping",
    "list_type": "must_be_list",
    "tuple_type": "must_be_list",
    "too_short": "empty_value",
    "int_type": "must_be_text",
    "int_parsing": "bad_integer",
    "int_from_float": "bad_integer",
    "float_type": "must_be_text",
    "float_parsing": "bad_number",
    "finite_number": "bad_number",
    "bool_type": "must_be_text",
    "bool_parsing": "bad_bool",
    "literal_error": "bad_choice",
    "greater_than": "out_of_range",
    "greater_than_equal": "out_of_range",
    "less_than": "out_of_range",
    "less_than_equal": "out_of_range",
}
_RELATIONS: Final = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


class Strict(BaseModel):
    """A mapping of a file: unknown keys are errors, numbers are finite."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class _Lines(NamedTuple):
    key: int
    value: int


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file.

    Attributes:
        file: Its name as the operator gave it.
        plain: Its mappings, lists and texts; None where a value is empty.
    """

    file: str
    plain: dict[str, Any]
    _lines: Mapping[KeyPath, _Lines]

    def line(self, path: KeyPath) -> int:
        """Return the line of a key, or of the nearest key above it that is written."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path].key

    def value_line(self, path: KeyPath) -> int:
        """Return the line of a value."""
        return self._lines[path].value

    def get(self, path: KeyPath) -> Any:
        """Return the plain value there."""
        value: Any = self.plain
        for step in path:
            value = value[step]
        return value


def read_document(path: Path, problems: Problems) -> Document | None:
    """Read a YAML file whose top is a mapping; None after a problem of its form."""
    text = read_text(path, problems)
    if text is None:
        return None
    file = str(path)
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        # What is missing at the end is missed in the line after the last.
        line = min(mark.line, len(text.splitlines()) - 1) + 1 if mark else 0
        column = mark.column + 1 if mark else 0
        problems.add(file, line, "yaml_syntax", column=column, error=error.problem or error.context)
        return None
    except yaml.YAMLError as error:  # a control character, which carries no mark
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        problems.add(file, line, "yaml_syntax", column=1, error=getattr(error, "reason", error))
        return None
    reader = _Reader(file, problems)
    plain = reader.read(root, (), _Lines(1, 1)) if root is not None else {}
    if not isinstance(plain, dict):
        problems.add(file, 1, "must_be_mapping", path=path.name)
        return None
    reader.lines.setdefault((), _Lines(1, 1))
    return Document(file, plain, reader.lines)


class _Reader:
    """Turns composed nodes into plain values, and notes their lines."""

    def __init__(self, file: str, problems: Problems) -> None:
        self._file = file
        self._problems = problems
        self._open: list[yaml.Node] = []
        self.lines: dict[KeyPath, _Lines] = {}

    def read(self, node: yaml.Node, path: KeyPath, lines: _Lines) -> Any:
        self.lines[path] = lines
        if isinstance(node, yaml.ScalarNode):
            return None if node.tag == _NULL else str(node.value)
        self._open.append(node)
        value = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._list(node, path)
        self._open.pop()
        return value

    def _mapping(self, node: yaml.Node, path: KeyPath) -> dict[str, Any]:
        entries: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                self._problems.add(self._file, line, "bad_key")
                continue
            key = str(key_node.value)
            below = (*path, key)
            if key in entries:
                self._problems.add(self._file, line, "duplicate_key", path=dotted(below), first=self.lines[below].key)
                continue
            if self._is_endless(value_node, line, below):
                continue
            entries[key] = self.read(value_node, below, _Lines(line, _value_line(value_node, line)))
        return entries

    def _list(self, node: yaml.Node, path: KeyPath) -> list[Any]:
        values: list[Any] = []
        for item in node.value:
            line, below = item.start_mark.line + 1, (*path, len(values))
            if not self._is_endless(item, line, below):
                values.append(self.read(item, below, _Lines(line, line)))
        return values

    def _is_endless(self, node: yaml.Node, line: int, path: KeyPath) -> bool:
        """Note an alias of something it stands in."""
        if not any(node is above for above in self._open):
            return False
        self._problems.add(self._file, line, "endless_alias", path=dotted(path))
        return True


def _value_line(node: yaml.Node, key_line: int) -> int:
    """Return the line a value is found by: a block's is that of its key."""
    return node.start_mark.line + 1 if isinstance(node, yaml.ScalarNode) else key_line


def dotted(path: KeyPath) -> str:
    """Return a path as the operator reads it: ``rehearsals[1].start``, counted from 1."""
    text = ""
    for step in path:
        text += f"[{step + 1}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def fit(
    document: Document,
    model: type[Model],
    problems: Problems,
    *,
    at: KeyPath = (),
    stand_ins: Mapping[str, Any] | None = None,
) -> Model | None:
    """Fit the mapping at a path to a model; note every problem, and return what is left of it.

    Values that don't fit are taken out, so that what is right can still be checked against the other files.

    Args:
        document: The file.
        model: What it must look like.
        problems: Where its problems go.
        at: Path of the mapping.
        stand_ins: For required keys that are missing or wrong, values that give no problem of their own.

    Returns:
        The model, or None if a required key without stand-in is missing or wrong.
    """
    plain = copy.deepcopy(document.get(at))
    reported = False
    while True:
        try:
            return model.model_validate(plain)
        except ValidationError as error:
            details = error.errors(include_url=False)
        if not reported:
            for detail in details:
                _report(document, model, at, detail, problems)
            reported = True
        for detail in details:
            if not _prune(plain, detail, stand_ins or {}):
                return None


def _prune(plain: Any, detail: ErrorDetails, stand_ins: Mapping[str, Any]) -> bool:
    """Take out what doesn't fit; return False if nothing useful would be left."""
    path = detail["loc"]
    for place, step in enumerate(path):
        if isinstance(step, int):  # a list goes whole: the others' positions must stay what they were
            path = path[:place]
            break
    missing = detail["type"] == "missing"
    if missing and len(path) > 1:
        path, missing = path[:-1], False
    if not path:
        return False
    holder = plain
    for step in path[:-1]:
        if step not in holder:
            return True  # went with an earlier problem
        holder = holder[step]
    holder.pop(path[-1], None)
    if len(path) == 1 and path[0] in stand_ins:
        holder[path[0]] = copy.deepcopy(stand_ins[str(path[0])])
        return True
    return not missing


def _report(document: Document, model: type[Strict], at: KeyPath, detail: ErrorDetails, problems: Problems) -> None:
    path = (*at, *detail["loc"])
    context = detail.get("ctx", {})
    key = _MESSAGES.get(detail["type"], "bad_value")
    facts: dict[str, Any] = {"path": dotted(path), "value": detail["input"], "error": detail["msg"]}
    if detail["type"] == "value_error":
        key, *bounds = context["error"].args
        facts.update(*bounds)
    if detail["input"] is None and key != "unknown_key":
        key = "empty_value"
    line = document.line(path) if key in {"missing_key", "unknown_key"} else document.value_line(path)
    match key:
        case "unknown_key":
            known = _known_keys(model, detail["loc"][:-1])
            facts["known"], facts["guess"] = listing(known), guess_name(str(path[-1]), known)
        case "bad_choice":
            known = re.findall(r"'([^']*)'", str(context["expected"]))
            facts["known"], facts["guess"] = listing(known), guess_name(str(detail["input"]), known)
        case "out_of_range" if "bound" not in facts:
            name = next(name for name in _RELATIONS if name in context)
            facts["relation"], facts["bound"] = _RELATIONS[name], f"{context[name]:g}"
    problems.add(document.file, line, key, **facts)


def _known_keys(model: Any, path: KeyPath) -> list[str]:
    """Return the keys that a model has at a path."""
    for step in path:
        model = model.model_fields[step].annotation if _is_model(model) else get_args(model)[-1]
        while get_origin(model) is not None and type(None) in get_args(model):  # X | None
            model = next(part for part in get_args(model) if part is not type(None))
    return list(model.model_fields)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
