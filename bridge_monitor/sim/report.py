"""What a simulated nation says of its run: the truth of each room, and whether the run itself is to be believed.

Owns the shapes; all counts are from the nation's start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bridge_monitor.rtp.report import LatenessSummary
from bridge_monitor.sim.faults import Fault
from bridge_monitor.sim.rooms import SiteRecord


@dataclass(frozen=True, slots=True)
class SiteTruth:
    """What really befell one room.

    Where a room reflects, ``sent = received − unreadable − dropped_to_room − dropped_from_room + duplicated``, once
    nothing of it waits in the delay queue.

    Attributes:
        code: The site.
        active_faults: What is wrong with it now.
        planned_faults: What is wrong with it at some time of the run.
        sip: Its calls.
        dialogs_open: Answered calls that are not over.
        calls_up: Calls that are up, answered or not.
        received: RTP packets that came to its address while a call was up.
        sent: RTP packets that really left it.
        dropped_to_room: RTP packets that its line lost before it.
        dropped_from_room: RTP packets that its line lost after it.
        large_dropped: Those of ``dropped_to_room`` that were too large.
        duplicated: RTP packets sent a second time.
        held_back: RTP packets held back so that others overtake.
        after_bye: RTP packets that came after the call's end.
        unreadable: Datagrams on its RTP port that are no RTP.
        rtcp_received: RTCP datagrams that came.
        rtcp_sent: RTCP datagrams that left.
    """

    code: str
    active_faults: tuple[Fault, ...]
    planned_faults: tuple[Fault, ...]
    sip: SiteRecord
    dialogs_open: int
    calls_up: int
    received: int
    sent: int
    dropped_to_room: int
    dropped_from_room: int
    large_dropped: int
    duplicated: int
    held_back: int
    after_bye: int
    unreadable: int
    rtcp_received: int
    rtcp_sent: int


@dataclass(frozen=True, slots=True)
class OwnFaults:
    """What the nation itself did wrong: drops and lateness of its own, never a room's.

    Attributes:
        sip_overflowed: SIP datagrams that full receive buffers dropped.
        sip_unsent: SIP datagrams that the kernel would not take.
        media_overflowed: RTP and RTCP datagrams that full receive buffers dropped.
        media_unsent: RTP and RTCP datagrams that the kernel would not take.
        queue_full: Packets dropped because too many were being delayed.
        late_packets: Packets that left later than the limit, counted from their arrival or their due time.
        lateness: Of all packets that left; None if none did. Quantiles are upper bounds of histogram buckets.
        loop_lag_seconds: The longest time the SIP side did not come to what was due.
    """

    sip_overflowed: int
    sip_unsent: int
    media_overflowed: int
    media_unsent: int
    queue_full: int
    late_packets: int
    lateness: LatenessSummary | None
    loop_lag_seconds: float


@dataclass(frozen=True, slots=True)
class NationReport:
    """A run so far.

    Attributes:
        seconds: Since its start.
        void_reasons: Why nothing measured against it is to be believed; empty if all is well.
        own: The nation's own drops and lateness.
        packets: RTP packets of calls received, over all rooms.
        strays: Datagrams to media ports at which there never was a call.
        dialogs_open: Answered calls that are not over, over all rooms.
        calls_outside_window: Calls that were not inside one window, over all rooms, those still up included.
        sites: Each room's truth, by code.
    """

    seconds: float
    void_reasons: tuple[str, ...]
    own: OwnFaults
    packets: int
    strays: int
    dialogs_open: int
    calls_outside_window: int
    sites: Mapping[str, SiteTruth]

    @property
    def void(self) -> bool:
        """Whether the run is void: the nation lost or delayed packets of its own."""
        return bool(self.void_reasons)
