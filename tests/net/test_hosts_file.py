"""The machine's own names (hosts(5))."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.net.hosts_file import HostsFile, parse_hosts

TEXT = """
# rooms of the north
192.0.2.1   hue.example hue    # and its short name
192.0.2.2\tHUE
2001:db8:0::1 hue.example.
192.0.2.300 wrong
192.0.2.3
127.0.0.1 localhost
"""


def test_a_name_has_all_its_addresses_in_order() -> None:
    found = parse_hosts(TEXT)
    assert found["hue.example"] == ("192.0.2.1", "2001:db8::1")
    assert found["hue"] == ("192.0.2.1", "192.0.2.2")
    assert set(found) == {"hue.example", "hue", "localhost"}


def test_names_are_found_whatever_their_case_and_whether_or_not_they_end_with_a_dot(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(TEXT, "utf-8")
    hosts = HostsFile(tmp_path / "hosts")
    assert hosts.find("Hue.Example.") == ("192.0.2.1", "2001:db8::1")
    assert hosts.find("elsewhere.example") == ()


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST.", "room.localhost"])
def test_localhost_is_this_machine_even_without_a_file(tmp_path: Path, name: str) -> None:
    """RFC 6761 §6.3."""
    assert HostsFile(tmp_path / "none").find(name) == ("127.0.0.1", "::1")


def test_a_changed_file_is_read_anew_and_a_file_that_is_gone_has_no_names(tmp_path: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1 hue.example\n", "utf-8")
    hosts = HostsFile(path)
    assert hosts.find("hue.example") == ("192.0.2.1",)
    changed = tmp_path / "new"
    changed.write_text("192.0.2.9 hue.example\n", "utf-8")
    changed.replace(path)
    assert hosts.find("hue.example") == ("192.0.2.9",)
    path.unlink()
    assert hosts.find("hue.example") == ()
    path.write_text("192.0.2.1 hue.example\n", "utf-8")
    assert hosts.find("hue.example") == ("192.0.2.1",)


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    """The same length and time: nobody can tell it from the old one, and nothing is read."""
    path = tmp_path / "hosts"
    path.write_text("192.0.2.1 hue.example\n", "utf-8")
    before = path.stat()
    hosts = HostsFile(path)
    hosts.find("hue.example")
    with path.open("r+", encoding="utf-8") as file:
        file.write("192.0.2.9")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert hosts.find("hue.example") == ("192.0.2.1",)


@given(
    st.text(max_size=60) | st.lists(st.sampled_from(["192.0.2.1", "::1", "#", "\t", " ", "\n", "a", "A."])).map("".join)
)
def test_no_text_raises_and_every_name_found_has_an_address(text: str) -> None:
    for name, addresses in parse_hosts(text).items():
        assert name == name.lower()
        assert addresses
