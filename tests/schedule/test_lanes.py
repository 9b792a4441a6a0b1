from __future__ import annotations

import math

import pytest

from bridge_monitor.schedule import UNLIMITED, Caps, CapSet, Plannable
from bridge_monitor.schedule.lanes import Lane, Lanes, Ticket, Turn, Turnstile, Turnstiles

CALL = (20.0, 90_000.0)


class Lot:
    """Lanes over provinces 1 and 2 and one carrier, and what was started."""

    def __init__(self, carrier: Caps = UNLIMITED, province: Caps = UNLIMITED) -> None:
        self.lanes = Lanes()
        self.carrier = Turnstile(carrier)
        self.provinces = {name: Turnstile(province) for name in "12"}
        self.now = 0.0

    def put(self, site: str, key: float, turn: Turn = Turn.FIRST, call: tuple[float, float] = CALL) -> Ticket:
        """Let a site wait; its province is the first letter of its name."""
        ticket = Ticket(site, turn)
        self.lanes.put(ticket, key, (self.provinces[site[0]], self.carrier), call)
        return ticket

    def start_all(self) -> list[str]:
        started = []
        while (lane := self.lanes.choose(self.now)) is not None:
            if not self.lanes.shut_out(lane, self.now):
                started.append(self.lanes.take(lane, self.now).site)
        return started

    def end(self, site: str) -> None:
        for gate in (self.provinces[site[0]], self.carrier):
            gate.release(CALL[1])
            self.lanes.offer(gate, self.now)


def test_turns_come_before_keys_and_keys_before_arrival() -> None:
    lot = Lot()
    lot.put("1repeat", 1.0, Turn.REPEAT)
    lot.put("2first", 0.7)
    lot.put("1first", 0.2)
    lot.put("1later", 0.7)
    lot.put("2retry", 9.0, Turn.RETRY)
    assert lot.start_all() == ["2retry", "1first", "2first", "1later", "1repeat"]
    assert lot.lanes.choose(0.0) is None


def test_a_full_province_lets_the_others_go_ahead() -> None:
    lot = Lot(province=Caps(calls_at_once=1))
    for site, key in (("1a", 0.1), ("1b", 0.2), ("1c", 0.3), ("2a", 0.4)):
        lot.put(site, key)
    assert lot.start_all() == ["1a", "2a"]
    lot.end("1a")
    assert lot.start_all() == ["1b"]


def test_a_shut_gate_keeps_order_over_all_who_come() -> None:
    """Two lanes wait before the carrier; whoever comes later and ranks higher goes first, the others line up."""
    lot = Lot(carrier=Caps(calls_at_once=1))
    for site, key in (("1a", 0.1), ("2a", 0.3), ("1b", 0.4)):
        lot.put(site, key)
    assert lot.start_all() == ["1a"]
    lot.put("2b", 0.2)
    lot.put("1c", 0.5, Turn.REPEAT)
    for before, after in (("1a", "2b"), ("2b", "2a"), ("2a", "1b"), ("1b", "1c")):
        lot.end(before)
        assert lot.start_all() == [after]


def test_who_ranks_behind_a_line_does_not_overtake_it() -> None:
    """A small call that would fit waits behind a large one that doesn't yet, or the large one would starve."""
    lot = Lot(carrier=Caps(bandwidth_bps=200_000.0))
    lot.put("1a", 0.1)
    lot.put("2large", 0.2, call=(20.0, 150_000.0))
    assert lot.start_all() == ["1a"]
    lot.put("1small", 0.3, call=(20.0, 50_000.0))
    assert lot.start_all() == []
    lot.end("1a")
    assert lot.start_all() == ["2large", "1small"]


def test_a_gate_shut_by_its_rate_opens_by_itself() -> None:
    lot = Lot(carrier=Caps(calls_per_second=2.0))
    for site, key in (("1a", 0.1), ("1b", 0.2), ("2a", 0.3)):
        lot.put(site, key)
    assert lot.lanes.next_alarm() == math.inf
    assert lot.start_all() == ["1a"]
    assert lot.lanes.next_alarm() == pytest.approx(0.5)
    lot.now = 0.5
    assert lot.start_all() == ["1b"]
    lot.now = 1.0
    assert lot.start_all() == ["2a"]
    assert lot.lanes.next_alarm() == math.inf


def test_a_ticket_taken_back_is_passed_over_wherever_it_stands() -> None:
    lot = Lot(carrier=Caps(calls_at_once=1))
    tickets = {site: lot.put(site, key) for site, key in (("1a", 0.1), ("1b", 0.2), ("2a", 0.3), ("2b", 0.4))}
    tickets["1a"].live = False
    assert lot.start_all() == ["1b"]
    tickets["2a"].live = False
    lot.end("1b")
    assert lot.start_all() == ["2b"]
    last = lot.put("1c", 0.5)
    assert lot.start_all() == []
    last.live = False
    lot.end("2b")
    assert lot.start_all() == []


def test_lanes_set_aside_come_back_when_reopened() -> None:
    lot = Lot()
    lot.put("1a", 0.2)
    lane = lot.lanes.choose(0.0)
    assert isinstance(lane, Lane)
    lot.lanes.close(lane, 0.0)
    lot.put("1b", 0.1)
    assert lot.start_all() == []
    lot.lanes.reopen()
    assert lot.start_all() == ["1b", "1a"]


def test_a_cleared_gate_has_no_line() -> None:
    lot = Lot(carrier=Caps(calls_at_once=1))
    lot.put("1a", 0.1)
    lot.put("2a", 0.2)
    assert lot.start_all() == ["1a"]
    lot.carrier.clear()
    lot.end("1a")
    assert lot.start_all() == []


def test_the_most_overdue_is_looked_for_among_repeats_and_retries() -> None:
    lot = Lot()
    assert lot.lanes.most_overdue() == math.inf
    lot.put("1first", 0.1)
    assert lot.lanes.most_overdue() == math.inf
    lot.put("1a", 50.0, Turn.REPEAT)
    lot.put("1b", 40.0, Turn.RETRY)
    assert lot.lanes.most_overdue() == 40.0


def test_gates_outlive_a_renewal_only_with_calls_or_sites() -> None:
    north, south = (Plannable(code, "commune", code, "VNPT", *CALL) for code in ("01", "79"))
    gates = Turnstiles()
    gates.renew([north, south], CapSet())
    (first, carrier), (second, _) = gates.of(north), gates.of(south)
    assert gates.of(south)[1] is carrier
    first.take(0.0, CALL[1])
    gates.renew([], CapSet())
    gates.renew([north, south], CapSet(per_province=Caps(calls_at_once=1)))
    assert gates.of(north)[0] is first
    assert first.ready_at(0.0, CALL[1]) == math.inf
    assert gates.of(south)[0] is not second


def test_a_lane_whose_sites_were_all_called_by_hand_does_not_block_its_gate() -> None:
    """A gate calls the first lane in line; one left empty by hand calls must not be called for ever."""
    lot = Lot(carrier=Caps(calls_at_once=1))
    lot.put("1a", 0.1)
    assert lot.start_all() == ["1a"]
    by_hand = lot.put("1b", 0.2, call=(30.0, 90_000.0))
    lot.put("1c", 0.3)
    assert lot.start_all() == []
    by_hand.live = False
    lot.end("1a")
    assert lot.start_all() == ["1c"]


def test_a_lane_that_lost_its_first_site_lines_up_by_its_next() -> None:
    lot = Lot(carrier=Caps(calls_at_once=1))
    lot.put("1a", 0.1)
    assert lot.start_all() == ["1a"]
    by_hand = lot.put("1b", 0.2, call=(30.0, 90_000.0))
    lot.put("1d", 0.9, call=(30.0, 90_000.0))
    lot.put("1c", 0.3)
    assert lot.start_all() == []
    by_hand.live = False
    lot.end("1a")
    assert lot.start_all() == ["1c"]
    lot.end("1c")
    assert lot.start_all() == ["1d"]
