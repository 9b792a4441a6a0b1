"""One bad fixture per rule: its folder's name is the message's key, ``expected.txt`` has the exact texts."""

from __future__ import annotations

import re
import shutil
from datetime import datetime
from pathlib import Path

import pytest

from bridge_monitor.config import load
from bridge_monitor.config.messages import CATALOGUE, DID_YOU_MEAN
from bridge_monitor.domain.wording import Lang
from bridge_monitor.errors import ConfigError, Problem

BAD = Path(__file__).parent / "bad"
CASES = sorted(path.name for path in BAD.iterdir())
WITHOUT_FIXTURE = {"missing_folder", "bad_value"}  # see test_loading and test_documents


def find(now: datetime, lang: Lang) -> tuple[Problem, ...]:
    try:
        return load(Path(), now=now, lang=lang).warnings
    except ConfigError as error:
        return error.problems


def spoil(folder: Path, fixture: Path) -> None:
    """Lay a fixture over a good folder: its files replace the good ones, NAME.absent removes one."""
    for spoilt in fixture.iterdir():
        if spoilt.suffix == ".absent":
            (folder / spoilt.stem).unlink()
        elif spoilt.is_dir():
            (folder / spoilt.name).unlink()
            (folder / spoilt.name).mkdir()
        else:
            shutil.copy(spoilt, folder / spoilt.name)
            if spoilt.name.endswith("-secret"):  # whatever modes this checkout has
                (folder / spoilt.name).chmod(0o644 if spoilt.name.startswith("open") else 0o600)


@pytest.fixture(autouse=True)
def _no_credentials_of_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)


def test_every_rule_has_its_bad_fixture_and_no_fixture_is_without_rule() -> None:
    assert set(CASES) | WITHOUT_FIXTURE == CATALOGUE.keys()


@pytest.mark.parametrize("lang", ["en", "vi"])
@pytest.mark.parametrize("rule", CASES)
def test_a_broken_rule_is_reported_with_file_line_and_mend(rule: str, lang: Lang, folder: Path, now: datetime) -> None:
    spoil(folder, BAD / rule)
    found = [f"{lang} {'warning' if problem.warning else 'error'} {problem}" for problem in find(now, lang)]
    expected = (BAD / rule / "expected.txt").read_text("utf-8").splitlines()
    assert found == [line for line in expected if line.startswith(lang)]


@pytest.mark.parametrize("rule", CASES)
def test_a_fixture_breaks_the_rule_it_is_named_after(rule: str, folder: Path, now: datetime) -> None:
    spoil(folder, BAD / rule)
    what, mend = CATALOGUE[rule].texts("en")
    shapes = [re.sub(r"\\\{[^}]*\\\}", ".+", re.escape(pattern)) for pattern in (what, mend)]
    guess = re.sub(r"\\\{[^}]*\\\}", ".+", re.escape(DID_YOU_MEAN["en"]))
    hits = [
        problem
        for problem in find(now, "en")
        if re.fullmatch(shapes[0], problem.what) and re.fullmatch(f"(?:{guess})?{shapes[1]}", problem.mend)
    ]
    assert hits
    assert all(hit.warning is CATALOGUE[rule].warning for hit in hits)
