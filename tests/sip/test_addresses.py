"""Addresses that carry their transport: what they equal, and their plain form."""

from __future__ import annotations

import copy
import pickle

import pytest

from bridge_monitor.sip.addresses import StreamAddress, TlsSettings, address_from_list, address_to_list, is_stream

PLAIN = ("192.0.2.9", 5060)
TCP = StreamAddress(*PLAIN)
PINNED = TlsSettings(ca_file="ca.pem", certificate="own.pem", key="own.key", pins=("ab",), verify=False)
TLS = StreamAddress(*PLAIN, "tls", "room.example", PINNED)


def test_the_same_place_over_another_transport_is_another_address() -> None:
    """A table by address must never mix a datagram with a connection, whichever side compares."""
    assert TCP != PLAIN
    assert PLAIN != TCP
    assert not TCP == PLAIN  # noqa: SIM201 - == and != are told apart on purpose
    assert StreamAddress(*PLAIN, "tls") != TCP
    assert {TLS: 3, StreamAddress(*PLAIN): 2, PLAIN: 1} == {PLAIN: 1, TCP: 2, TLS: 3}


def test_a_tls_connection_is_shared_only_where_the_same_is_asked_of_the_peer() -> None:
    assert StreamAddress(*PLAIN, "tls", "room.example", PINNED) == TLS
    assert StreamAddress(*PLAIN, "tls", "other.example", PINNED) != TLS
    assert StreamAddress(*PLAIN, "tls", "room.example") != TLS


def test_a_tcp_connection_is_shared_by_all_names_of_the_place() -> None:
    assert StreamAddress(*PLAIN, "tcp", "room.example") == TCP


def test_it_is_host_and_port_as_any_address() -> None:
    host, port = TLS
    assert (host, port) == PLAIN
    assert repr(TLS) == "tls:192.0.2.9:5060"


@pytest.mark.parametrize(("address", "expected"), [(PLAIN, False), (TCP, True), (TLS, True)])
def test_a_plain_tuple_is_a_datagram_s_address(address: tuple[str, int], expected: bool) -> None:  # noqa: FBT001 - a table's column
    assert is_stream(address) is expected


@pytest.mark.parametrize("address", [PLAIN, TCP, TLS])
def test_the_plain_form_brings_the_same_address_back(address: tuple[str, int]) -> None:
    assert address_from_list(address_to_list(address)) == address
    assert is_stream(address_from_list(address_to_list(address))) == is_stream(address)


def test_copies_are_equal() -> None:
    assert copy.deepcopy(TLS) == TLS
    assert pickle.loads(pickle.dumps(TLS)) == TLS  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    ("plain", "error"),
    [
        (["192.0.2.9"], ValueError),
        (["192.0.2.9", "x"], ValueError),
        (["192.0.2.9", 5060, "sctp", "", TlsSettings().to_dict()], ValueError),
        (["192.0.2.9", 5060, "tls"], ValueError),
        (["192.0.2.9", 5060, "tls", "", {}], KeyError),
    ],
)
def test_a_damaged_plain_form_is_told(plain: list[object], error: type[Exception]) -> None:
    with pytest.raises(error):
        address_from_list(plain)
