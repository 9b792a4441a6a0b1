"""The heap of timers: exact, in order, and free of what was stopped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.sip.timers import TimerHeap


class Owner:
    def __init__(self) -> None:
        self.timers: dict[str, int] = {}
        self.fired: list[tuple[str, float]] = []

    def fire(self, timer: str, now: float) -> None:
        self.fired.append((timer, now))


def test_timers_fire_in_order_of_deadline() -> None:
    heap, owner = TimerHeap(), Owner()
    for name, deadline in (("B", 2.0), ("A", 1.0), ("C", 3.0)):
        heap.start(owner, name, deadline)
    assert heap.next_deadline() == 1.0
    heap.fire_due(0.5)
    assert owner.fired == []
    heap.fire_due(2.0)
    assert owner.fired == [("A", 2.0), ("B", 2.0)]
    assert (heap.next_deadline(), len(heap)) == (3.0, 1)


def test_a_timer_started_anew_counts_once() -> None:
    heap, owner = TimerHeap(), Owner()
    heap.start(owner, "A", 1.0)
    heap.start(owner, "A", 2.0)
    assert (heap.next_deadline(), len(heap)) == (2.0, 1)
    heap.fire_due(5.0)
    assert owner.fired == [("A", 5.0)]


def test_stopped_timers_do_not_fire() -> None:
    heap, owner, other = TimerHeap(), Owner(), Owner()
    heap.start(owner, "A", 1.0)
    heap.start(owner, "B", 1.0)
    heap.start(other, "A", 1.0)
    heap.stop(owner, "A")
    heap.stop(owner, "A")
    heap.stop_all(other)
    heap.fire_due(1.0)
    assert (owner.fired, other.fired, len(heap), heap.next_deadline()) == ([("B", 1.0)], [], 0, None)


def test_stale_entries_do_not_pile_up() -> None:
    """Thousands of timers started and stopped leave a heap of the few that run."""
    heap, owner = TimerHeap(), Owner()
    heap.start(owner, "keep", 1e9)
    for serial in range(20_000):
        heap.start(owner, "A", float(serial))
        heap.stop(owner, "A")
    assert len(heap._heap) <= 1025
    assert heap.next_deadline() == 1e9


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.one_of(st.none(), st.integers(0, 9))), max_size=40))
def test_like_a_plain_dictionary(steps: list[tuple[str, int | None]]) -> None:
    """Started and stopped at random, exactly those timers fire that a dictionary of deadlines would hold."""
    heap, owner = TimerHeap(), Owner()
    model: dict[str, float] = {}
    for name, deadline in steps:
        if deadline is None:
            heap.stop(owner, name)
            model.pop(name, None)
        else:
            heap.start(owner, name, float(deadline))
            model[name] = float(deadline)
        assert heap.next_deadline() == min(model.values(), default=None)
        assert len(heap) == len(model)
    heap.fire_due(4.0)
    assert sorted(name for name, _ in owner.fired) == sorted(name for name, due in model.items() if due <= 4.0)
