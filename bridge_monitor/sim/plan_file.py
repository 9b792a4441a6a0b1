"""Reads a fault plan from YAML, with every problem of the file at once, each with its line and mend.

Owns the file's grammar; must not choose rooms (`sim.assignment`). Values are read as written, so that an unquoted
``01`` is the code 01 and ``14:30`` a time of day, whatever YAML 1.1 would make of them.
"""

from __future__ import annotations

import contextlib
import difflib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import time
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

import yaml

from bridge_monitor.domain import Inventory
from bridge_monitor.errors import ConfigError, Problem
from bridge_monitor.sim.assignment import find_conflicts, simulated_sites
from bridge_monitor.sim.faults import (
    DEFAULT_LARGEST_PACKET,
    DEFAULT_ZONE,
    PARAMETERS,
    Clock,
    CodecStage,
    Direction,
    Fault,
    FaultKind,
    FaultPlan,
    Limits,
    Moment,
)

_PLAN_KEYS: Final = ("seed", "zone", "faults")
_SELECTORS: Final = ("sites", "provinces", "carriers")
_COMMON_KEYS: Final = ("kind", *_SELECTORS, "tiers", "share", "begin", "end", "combine")
_CHOICES: Final[dict[FaultKind, dict[str, type[StrEnum]]]] = {
    FaultKind.LOSS: {"direction": Direction},
    FaultKind.BANDWIDTH: {"direction": Direction},
    FaultKind.WRONG_CODEC: {"stage": CodecStage},
}
_WHOLE_NUMBERS: Final = frozenset({"threshold_bytes"})

_T = TypeVar("_T")


def load_fault_plan(path: Path, inventory: Inventory) -> FaultPlan:
    """Read a fault plan and check it against the inventory it is for.

    Raises:
        ConfigError: With every problem of the file.
    """
    reader = _Reader(str(path), inventory)
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except OSError as error:
        raise ConfigError(
            (Problem(str(path), 0, f"can't read it: {error.strerror}", "name a readable file"),)
        ) from error
    except UnicodeDecodeError as error:
        mend = "save the file as UTF-8"
        raise ConfigError((Problem(str(path), 0, f"not UTF-8 at byte {error.start}", mend),)) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        problem = Problem(str(path), line, f"not YAML: {error.problem}", "mend the indentation or quoting there")
        raise ConfigError((problem,)) from error
    except yaml.YAMLError as error:
        problem = Problem(str(path), 0, f"not YAML: {error}", "remove what is no text from the file")
        raise ConfigError((problem,)) from error
    plan = reader.read_plan(root)
    if not reader.problems:
        for fault, what in find_conflicts(inventory, plan):
            reader.note(fault.line, what, "give them other times, or add combine: true to this entry")
    if reader.problems:
        raise ConfigError(tuple(sorted(reader.problems)))
    return plan


@dataclass
class _Reader:
    """Reads one file; problems gather here while reading goes on."""

    file: str
    inventory: Inventory
    problems: list[Problem] = field(default_factory=list)

    def __post_init__(self) -> None:
        inventory = self.inventory
        self._simulated = {site.code for site in simulated_sites(inventory)}
        self._provinces = {inventory.province_of(site.code) for site in inventory} - {""}
        self._carriers = {site.carrier for site in inventory} - {""}

    def note(self, line: int, what: str, mend: str) -> None:
        self.problems.append(Problem(self.file, line, what, mend))

    # --- the plan and its entries ------------------------------------------------------------------------------------

    def read_plan(self, root: yaml.Node | None) -> FaultPlan:
        if root is None:
            return FaultPlan()
        if not isinstance(root, yaml.MappingNode):
            self.note(
                _line(root), "the plan is no mapping", "write seed:, zone: and faults:, each on a line of its own"
            )
            return FaultPlan()
        entries = self._mapping(root, _PLAN_KEYS, "the plan")
        seed = self._scalar(entries.get("seed"), 0, lambda text: int(text, 10), "seed", "a whole number, say 2024")
        zone = self._scalar(entries.get("zone"), DEFAULT_ZONE, _zone, "zone", "an IANA name, say Asia/Ho_Chi_Minh")
        if seed < 0:
            self.note(_line(entries["seed"]), f"seed {seed} is negative", "write a whole number from 0")
            seed = 0
        faults: list[Fault] = []
        listed = entries.get("faults")
        if listed is not None and not isinstance(listed, yaml.SequenceNode):
            self.note(_line(listed), "faults is no list", "write one entry a line, each beginning with - kind:")
        elif listed is not None:
            faults = [fault for node in listed.value if (fault := self._read_fault(node)) is not None]
        return FaultPlan(tuple(faults), seed, zone)

    def _read_fault(self, node: yaml.Node) -> Fault | None:
        if not isinstance(node, yaml.MappingNode):
            self.note(_line(node), "this entry is no fault", "write - kind: …, with its keys below")
            return None
        kind = self._read_kind(node)
        if kind is None:
            return None
        numbers, choices = PARAMETERS.get(kind, {}), _CHOICES.get(kind, {})
        entries = self._mapping(node, (*_COMMON_KEYS, *numbers, *choices), f"a fault of kind {kind}")
        line = _line(node)
        if not any(key in entries for key in _SELECTORS):
            self.note(line, f"{kind} says nowhere where", "add sites:, provinces: or carriers: with a list of codes")
        values: dict[str, float] = {}
        for name, limits in numbers.items():
            value = self._number(entries, name, limits, kind, line)
            if value is not None:
                values[name] = value
        begin, end = self._moment(entries.get("begin"), "begin"), self._moment(entries.get("end"), "end")
        if not _in_order(begin, end):
            after = "the start" if begin is None else f"begin {_plain(begin)}"
            self.note(_line(entries["end"]), f"end {_plain(end)} is not after {after}", "let it end later")
        burst = values.get("burst") or None
        rate = values.get("rate", 0.0)
        if burst is not None and rate < 1.0 and rate > burst * (1.0 - rate):
            what = f"a loss of {rate:g} can't come in bursts of mean length {burst:g}"
            self.note(line, what, f"let burst be at least {math.ceil(10 * rate / (1.0 - rate)) / 10:g}")
        return Fault(
            kind,
            sites=self._codes(entries, "sites", self._simulated, "site with a sip: endpoint in 127.0.0.0/8"),
            provinces=self._codes(entries, "provinces", self._provinces, "province"),
            carriers=self._codes(entries, "carriers", self._carriers, "carrier"),
            tiers=self._codes(entries, "tiers", set(self.inventory.tiers), "tier"),
            share=self._number(entries, "share", Limits(0.0, 1.0, 1.0), kind, line) or 0.0,
            begin=begin,
            end=end,
            combine=self._scalar(
                entries.get("combine"), default=False, convert=_boolean, key="combine", form="true or false"
            ),
            seconds=values.get("seconds", 0.0),
            rate=rate,
            burst=burst,
            direction=self._choice(entries, "direction", Direction, Direction.BOTH),
            bits_per_second=values.get("bits_per_second", 0.0),
            threshold_bytes=int(values.get("threshold_bytes", DEFAULT_LARGEST_PACKET)),
            stage=self._choice(entries, "stage", CodecStage, CodecStage.ANSWER),
            line=line,
        )

    def _read_kind(self, node: yaml.MappingNode) -> FaultKind | None:
        line = _line(node)
        named = [value for key, value in node.value if key.value == "kind"]
        if not named:
            self.note(line, "this entry has no kind", f"add kind:, one of {', '.join(FaultKind)}")
            return None
        text = str(named[0].value)
        try:
            return FaultKind(text)
        except ValueError:
            self.note(_line(named[0]), f"kind {text!r} is unknown", _suggest(text, FaultKind))
            return None

    # --- values ------------------------------------------------------------------------------------------------------

    def _mapping(self, node: yaml.MappingNode, known: tuple[str, ...], where: str) -> dict[str, yaml.Node]:
        """Return the mapping's entries that are known, each key once."""
        entries: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = str(key_node.value)
            if key not in known:
                self.note(_line(key_node), f"key {key!r} is unknown in {where}", _suggest(key, known))
            elif key in entries:
                self.note(_line(key_node), f"key {key!r} stands twice in {where}", "keep one of the two")
            else:
                entries[key] = value
        return entries

    def _scalar(self, node: yaml.Node | None, default: _T, convert: Callable[[str], _T], key: str, form: str) -> _T:
        if node is None:
            return default
        if isinstance(node, yaml.ScalarNode):
            with contextlib.suppress(ValueError):
                return convert(str(node.value))
        self.note(_line(node), f"{key} {_shown(node)} is not understood", f"write {form}")
        return default

    def _number(
        self, entries: dict[str, yaml.Node], key: str, limits: Limits, kind: FaultKind, line: int
    ) -> float | None:
        node = entries.get(key)
        span = f"a number from {limits.low:g} to {limits.high:g}"
        if node is None:
            if limits.default is None:
                self.note(line, f"{kind} needs {key}", f"add {key}: with {span}")
            return limits.default
        whole = key in _WHOLE_NUMBERS
        value = self._scalar(node, math.nan, lambda text: float(int(text, 10)) if whole else float(text), key, span)
        if math.isnan(value):
            if str(node.value).strip().lower().lstrip("+-.") == "nan":
                self.note(_line(node), f"{key} {_shown(node)} is no number", f"write {span}")
            return None
        if not limits.low <= value <= limits.high:
            self.note(_line(node), f"{key} {_shown(node)} is out of range", f"write {span}")
            return None
        return value

    def _choice(self, entries: dict[str, yaml.Node], key: str, kind: type[_Choice], default: _Choice) -> _Choice:
        return self._scalar(entries.get(key), default, kind, key, "one of " + ", ".join(kind))

    def _codes(self, entries: dict[str, yaml.Node], key: str, known: set[str], what: str) -> tuple[str, ...]:
        node = entries.get(key)
        if node is None:
            return ()
        items = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not items:
            self.note(_line(node), f"{key} is empty", f"list at least one {what.partition(' ')[0]}, or remove {key}:")
        codes: list[str] = []
        for item in items:
            if not isinstance(item, yaml.ScalarNode):
                self.note(_line(item), f"{key} holds {_shown(item)}", "list codes only")
            elif item.value not in known:
                self.note(_line(item), f"{item.value!r} is no {what} of the inventory", _suggest(item.value, known))
            elif item.value in codes:
                self.note(_line(item), f"{item.value!r} stands twice in {key}", "keep one of the two")
            else:
                codes.append(item.value)
        return tuple(codes)

    def _moment(self, node: yaml.Node | None, key: str) -> Moment | None:
        form = 'seconds since the start, say 90, or a time of day, say "14:30"'
        return self._scalar(node, None, _moment, key, form)


_Choice = TypeVar("_Choice", Direction, CodecStage)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return repr(node.value)
    return "(a list)" if isinstance(node, yaml.SequenceNode) else "(a mapping)"


def _suggest(text: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(text, names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    listed = ", ".join(names[:25]) + (", …" if len(names) > 25 else "")
    return f"use one of: {listed}" if names else "the inventory has none; remove it"


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, OSError) as error:  # ZoneInfoNotFoundError is a KeyError; a directory's name an OSError
        raise ValueError(text) from error
    return text


def _boolean(text: str) -> bool:
    known = {"true": True, "yes": True, "false": False, "no": False}
    if text.lower() not in known:
        raise ValueError(text)
    return known[text.lower()]


def _moment(text: str) -> Moment:
    if ":" in text:
        return Clock(time.fromisoformat(text.strip().zfill(5)))
    seconds = float(text)
    if not 0.0 <= seconds < math.inf:
        raise ValueError(text)
    return seconds


def _plain(moment: Moment | None) -> str:
    return f"{moment:g}" if isinstance(moment, float) else str(moment)


def _in_order(begin: Moment | None, end: Moment | None) -> bool:
    """Whether the end comes after the begin; an end of day before its begin is the next day's."""
    if isinstance(begin, Clock) or isinstance(end, Clock) or end is None:
        return begin is None or begin != end
    return end > (begin or 0.0)
