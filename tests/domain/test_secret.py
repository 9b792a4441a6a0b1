"""A secret is carried about and never shown."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
import traceback

import pytest

from bridge_monitor.domain import Secret

WORD = "Circle of Life"


@dataclasses.dataclass(frozen=True)
class _Account:
    user: str
    password: Secret


def test_no_text_shows_it() -> None:
    secret = Secret(WORD)
    account = _Account("kiemtra", secret)
    assert (repr(secret), str(secret), f"{secret}", f"{secret!r}", "%s" % secret) == ("***",) * 5  # noqa: UP031 - that form too
    assert repr(account) == "_Account(user='kiemtra', password=***)"
    assert secret.reveal() == WORD


def test_json_has_no_place_for_it() -> None:
    with pytest.raises(TypeError):
        json.dumps({"password": Secret(WORD)})
    assert json.dumps(dataclasses.asdict(_Account("kiemtra", Secret(WORD))), default=str) == (
        '{"user": "kiemtra", "password": "***"}'
    )


def test_it_leaves_the_process_in_no_pickle() -> None:
    with pytest.raises(TypeError, match="isn't written anywhere"):
        pickle.dumps(Secret(WORD))


def test_a_copy_is_itself() -> None:
    secret = Secret(WORD)
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


def test_an_error_that_names_it_does_not_show_it() -> None:
    def fail() -> None:
        raise ValueError(Secret(WORD), {"password": Secret(WORD)})

    with pytest.raises(ValueError, match=r"\*\*\*") as caught:
        fail()
    shown = "".join(traceback.format_exception(caught.value))
    assert WORD not in shown


def test_secrets_are_equal_by_their_text() -> None:
    assert Secret(WORD) == Secret(WORD)
    assert hash(Secret(WORD)) == hash(Secret(WORD))
    assert Secret(WORD) != Secret("circle of life")
    assert Secret(WORD) != WORD
    assert Secret("mật khẩu") == Secret("mật khẩu")


def test_an_empty_one_is_false() -> None:
    assert not Secret("")
    assert Secret(" ")
