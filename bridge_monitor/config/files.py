"""Reads the files' text: encoding, and tables of comma-separated values with their line numbers.

Owns the form of the files; must not know what their columns mean.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from bridge_monitor.config.problems import Problems, guess_name, listing

LABEL: Final = "label:"
_SEPARATORS: Final = ",;\t"


class Row(NamedTuple):
    """A line of a table.

    Attributes:
        line: Its number; that of its first line if a quoted value holds line breaks.
        cells: Its values, stripped, one for each column.
        whole: False if it had too few or too many values, which has been reported.
    """

    line: int
    cells: Sequence[str]
    whole: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A file of comma-separated values.

    Attributes:
        file: Its name as the operator gave it.
        columns: Names of its columns.
        rows: Its lines after the first.
        complete: False if lines could not be read at all, so that what they hold is not known.
    """

    file: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    complete: bool

    def places(self, names: Sequence[str], *, missing: int) -> list[int]:
        """Return where each of these columns stands; `missing` for those left out."""
        return [self.columns.index(name) if name in self.columns else missing for name in names]


def read_text(path: Path, problems: Problems) -> str | None:
    """Return the file's text, composed (Unicode NFC) so that equal names are equal, or None after a problem."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        names = sorted(entry.name for entry in path.parent.iterdir())
        problems.add(str(path), 0, "missing_file", guess=guess_name(path.name, names))
        return None
    except OSError as error:
        problems.add(str(path), 0, "unreadable_file", error=error.strerror)
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.add(str(path), line, "not_utf8", byte=data[error.start])
        return None
    return unicodedata.normalize("NFC", text)


def read_table(
    path: Path, problems: Problems, *, required: Sequence[str], optional: Sequence[str] = (), labels: bool = False
) -> Table | None:
    """Read a table.

    Lines that begin with ``#`` and empty lines are left out. Values are separated by commas; semicolons or tabs, which
    some spreadsheets write, are understood if the first line uses them.

    Args:
        path: The file.
        problems: Where its problems go.
        required: Columns it must have.
        optional: Columns it may have.
        labels: Whether it may have further columns ``label:NAME``.

    Returns:
        The table, or None if its text or columns are unusable.
    """
    text = read_text(path, problems)
    if text is None:
        return None
    file, complete = str(path), True
    lines = _lines(text, _separator(text))
    columns: tuple[str, ...] | None = None
    rows: list[Row] = []
    for line, cells in lines:
        if isinstance(cells, csv.Error):
            problems.add(file, line, "csv_syntax", error=cells)
            complete = False
        elif columns is None:
            columns = _check_columns(file, line, cells, problems, required=required, optional=optional, labels=labels)
            if columns is None:
                return None
        elif len(cells) == len(columns):
            rows.append(Row(line, cells, whole=True))
        else:
            problems.add(file, line, "field_count", found=len(cells), expected=len(columns))
            padded = [*cells, *[""] * len(columns)][: len(columns)]
            rows.append(Row(line, padded, whole=False))
    if columns is None:
        _check_columns(file, 1, [], problems, required=required, optional=optional, labels=labels)
        return None
    return Table(file, columns, tuple(rows), complete)


def _separator(text: str) -> str:
    """Return the character that separates the values of the first line that is no comment."""
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            return max(_SEPARATORS, key=line.count)
    return ","


def _lines(text: str, separator: str) -> Iterator[tuple[int, list[str] | csv.Error]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    last = 0
    while True:
        line = last + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            last = reader.line_num
            yield line, error
            continue
        last = reader.line_num
        cells = list(map(str.strip, cells))
        if any(cells) and not cells[0].startswith("#"):
            yield line, cells


def _check_columns(
    file: str,
    line: int,
    found: Sequence[str],
    problems: Problems,
    *,
    required: Sequence[str],
    optional: Sequence[str],
    labels: bool,
) -> tuple[str, ...] | None:
    known = (*required, *optional)
    shown = (*known, f"{LABEL}NAME") if labels else known
    columns: list[str] = []
    usable = True
    for column in found:
        meant = column
        if column not in known and not (labels and column.startswith(LABEL) and column != LABEL):
            guess = guess_name(column, known)
            problems.add(file, line, "unknown_column", column=column, known=listing(shown), guess=guess)
            if guess is not None and guess not in found:
                meant = guess  # so that a slip in the first line doesn't hide, or make up, problems in all others
        if meant in columns:
            problems.add(file, line, "duplicate_column", column=meant)
            usable = False
        columns.append(meant)
    for column in required:
        if column not in columns:
            problems.add(file, line, "missing_column", column=column)
            usable = False
    return tuple(columns) if usable else None
