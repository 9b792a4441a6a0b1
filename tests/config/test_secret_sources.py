"""Secrets are read from files that are closed to others, variables and systemd's credentials; messages hold none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bridge_monitor.config.secret_sources import Source, read_secret

WORD = "hunter2 và mật khẩu"


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


def read(folder: Path, source: Source, name: str, **environment: str) -> str:
    return read_secret(source, name, folder, environment).reveal()


def fault(folder: Path, source: Source, name: str, **environment: str) -> tuple[Any, ...]:
    with pytest.raises(ValueError, match=r"\w+") as caught:
        read_secret(source, name, folder, environment)
    told = "".join(map(str, (caught.value, caught.value.__cause__, caught.value.args)))
    assert "hunter2" not in told
    return caught.value.args


class TestFile:
    @pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
    def test_its_one_line_is_the_secret_blanks_and_all(self, tmp_path: Path, ending: bytes) -> None:
        write(tmp_path / "s", f" {WORD} ".encode() + ending)
        assert read(tmp_path, "file", "s") == f" {WORD} "

    def test_a_relative_name_counts_from_the_configuration_s_folder(self, tmp_path: Path) -> None:
        (tmp_path / "secrets").mkdir()
        path = write(tmp_path / "secrets" / "s", WORD.encode())
        assert read(tmp_path, "file", "secrets/s") == read(Path("/nowhere"), "file", str(path)) == WORD

    @pytest.mark.parametrize("mode", [0o604, 0o602, 0o601, 0o644, 0o666])
    def test_one_that_others_may_open_is_not_used(self, tmp_path: Path, mode: int) -> None:
        write(tmp_path / "s", WORD.encode(), mode)
        assert fault(tmp_path, "file", "s") == ("open_secret", {"mode": f"{mode:04o}"})

    @pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o660])
    def test_its_owner_and_group_may(self, tmp_path: Path, mode: int) -> None:
        """The files of a service are often root's, and readable by the service's group."""
        write(tmp_path / "s", WORD.encode(), mode)
        assert read(tmp_path, "file", "s") == WORD

    def test_one_that_is_not_there_says_so_without_its_name(self, tmp_path: Path) -> None:
        assert fault(tmp_path, "file", "hunter2") == ("unreadable_secret", {"error": "No such file or directory"})

    def test_a_directory_is_none(self, tmp_path: Path) -> None:
        assert fault(tmp_path, "file", ".")[0] == "unreadable_secret"

    def test_a_named_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "s", 0o600)
        assert fault(tmp_path, "file", "s") == ("unreadable_secret", {"error": "not a regular file"})

    def test_a_name_that_no_file_can_have_is_none(self, tmp_path: Path) -> None:
        assert fault(tmp_path, "file", "a\0hunter2") == ("bad_secret_name",)

    @pytest.mark.parametrize("data", [b"", b"\n", b"hunter2\nhunter3\n", b"hunter2\n\n", b"\xff", b"a\0b", b"x" * 4097])
    def test_what_is_no_single_line_of_text_is_no_secret(self, tmp_path: Path, data: bytes) -> None:
        write(tmp_path / "s", data)
        assert fault(tmp_path, "file", "s") == ("bad_secret",)


class TestEnvironment:
    def test_its_variable_is_the_secret(self, tmp_path: Path) -> None:
        assert read(tmp_path, "env", "SIP_HUE", SIP_HUE=WORD) == WORD

    def test_one_that_is_not_set_here_may_be_set_elsewhere(self, tmp_path: Path) -> None:
        assert fault(tmp_path, "env", "SIP_HUE") == ("secret_not_here",)

    @pytest.mark.parametrize("name", ["hunter2!", "2hunter2", "a b", "a=b"])
    def test_what_is_no_variable_s_name_is_refused(self, tmp_path: Path, name: str) -> None:
        assert fault(tmp_path, "env", name) == ("bad_secret_name",)

    def test_an_empty_one_is_no_secret(self, tmp_path: Path) -> None:
        assert fault(tmp_path, "env", "SIP_HUE", SIP_HUE="") == ("bad_secret",)


class TestCredential:
    def test_it_is_read_from_systemd_s_directory(self, tmp_path: Path) -> None:
        write(tmp_path / "sip-hue", WORD.encode(), 0o400)
        assert read(Path("/nowhere"), "credential", "sip-hue", CREDENTIALS_DIRECTORY=str(tmp_path)) == WORD

    def test_without_that_directory_it_may_be_there_elsewhere(self, tmp_path: Path) -> None:
        assert fault(tmp_path, "credential", "sip-hue") == ("secret_not_here",)
        assert fault(tmp_path, "credential", "sip-hue", CREDENTIALS_DIRECTORY="") == ("secret_not_here",)

    def test_in_a_service_it_must_be_there(self, tmp_path: Path) -> None:
        assert fault(tmp_path, "credential", "sip-hue", CREDENTIALS_DIRECTORY=str(tmp_path))[0] == "unreadable_secret"

    @pytest.mark.parametrize("name", ["../hunter2", "a/b", ".", ".."])
    def test_it_leads_nowhere_else(self, tmp_path: Path, name: str) -> None:
        assert fault(tmp_path, "credential", name, CREDENTIALS_DIRECTORY=str(tmp_path)) == ("bad_secret_name",)
