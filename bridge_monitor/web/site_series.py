"""The series of one site: which families there are, and which value each takes from what is known of the site.

Owns the table of site families and the facts they are read from; must not know of the daemon, HTTP or aggregates.
Invalid and busy results leave every figure as it was: all but the time of the last run come from the site's last valid
result. What was not measured is absent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Final, TypeAlias

from bridge_monitor.domain import Grade, Inventory, MediaResult, Outcome, ProbeResult, Site, SiteGrade, SiteState
from bridge_monitor.web.aggregates import Packets
from bridge_monitor.web.streams import Direction, Loss, audio_of, frame_loss_ratio, jitters, losses, rtt_of, video_of
from bridge_monitor.web.text import Family, label_pairs

_SUCCESS: Final = {Grade.GOOD: 1, Grade.DEGRADED: 1, Grade.FAILED: 0}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the site's values are read from."""

    grade: SiteGrade
    result: ProbeResult | None
    last_run: datetime | None
    packets: Packets
    audio: MediaResult | None = None
    losses: Mapping[Direction, Loss] = field(default_factory=dict)
    jitters: Mapping[Direction, float] = field(default_factory=dict)
    video: MediaResult | None = None
    video_losses: Mapping[Direction, Loss] = field(default_factory=dict)


Read: TypeAlias = Callable[[Facts], float | None]


@dataclass(frozen=True, slots=True)
class SiteFamily:
    """A family with one series a site, or one for each direction.

    Attributes:
        family: Name, kind and help.
        series: Further labels (with the comma before them) and what the value is read by.
    """

    family: Family
    series: tuple[tuple[str, Read], ...]


def _by_direction(
    read: Callable[[Facts, Direction], float | None], *directions: Direction
) -> tuple[tuple[str, Read], ...]:
    def of(direction: Direction) -> Read:
        return lambda facts: read(facts, direction)

    return tuple((f',direction="{direction}"', of(direction)) for direction in directions)


def _loss_ratio(facts: Facts, direction: Direction) -> float | None:
    loss = facts.losses.get(direction)
    return loss.ratio if loss else None


def _video_loss_ratio(facts: Facts, direction: Direction) -> float | None:
    loss = facts.video_losses.get(direction)
    return loss.ratio if loss else None


def _packets(facts: Facts, direction: Direction) -> float | None:
    counted = facts.packets.get(direction)
    return counted.packets if counted else None


def _lost(facts: Facts, direction: Direction) -> float | None:
    counted = facts.packets.get(direction)
    return counted.lost if counted else None


def _rtt(facts: Facts) -> float | None:
    rtt = rtt_of(facts.audio)
    return rtt.median if rtt else None


def _certificate_expiry(facts: Facts) -> float | None:
    tls = facts.result.tls if facts.result else None
    return tls.expires_at.timestamp() if tls and tls.expires_at else None


def _last_run(facts: Facts) -> float | None:
    return facts.last_run.timestamp() if facts.last_run else None


_RESULT_FAMILIES: Final = (
    SiteFamily(
        Family(
            "bridge_probe_success",
            "gauge",
            "1 if the site's last valid test call found the line good or degraded, 0 if failed; absent if untested. "
            "Busy and invalid calls leave it as it was.",
        ),
        (("", lambda facts: _SUCCESS.get(facts.result.grade) if facts.result else None),),
    ),
    SiteFamily(
        Family(
            "bridge_probe_duration_seconds",
            "gauge",
            "How long the last valid test call took, from its start to the end of its teardown.",
        ),
        (("", lambda facts: facts.result.duration_seconds if facts.result else None),),
    ),
    SiteFamily(
        Family(
            "bridge_rtp_loss_ratio",
            "gauge",
            "RTP packets lost ÷ packets counted in the last valid test call, 0 to 1, by where the loss was seen: "
            "inbound (our reception), outbound (the room's reports), round_trip (an echo: direction unknown).",
        ),
        _by_direction(_loss_ratio, *Direction),
    ),
    SiteFamily(
        Family(
            "bridge_rtp_jitter_seconds",
            "gauge",
            "Mean interarrival jitter (RFC 3550 A.8) of the last valid test call, by the direction it was measured in.",
        ),
        _by_direction(lambda facts, direction: facts.jitters.get(direction), Direction.INBOUND, Direction.OUTBOUND),
    ),
    SiteFamily(
        Family("bridge_rtt_seconds", "gauge", "Median round-trip time of the media in the last valid test call."),
        (("", _rtt),),
    ),
    SiteFamily(
        Family(
            "bridge_mos",
            "gauge",
            "Estimated mean opinion score (ITU-T G.107, narrow-band audio) of the last valid test call, 1 to 4.5.",
        ),
        (("", lambda facts: facts.audio.mos if facts.audio else None),),
    ),
    SiteFamily(
        Family(
            "bridge_audio_level_dbov",
            "gauge",
            "Mean level of the room's own audio in the last valid test call, -127 (digital silence) to 0 dBov "
            "(RFC 6464); absent for an echo.",
        ),
        (("", lambda facts: facts.audio.audio_level_dbov if facts.audio else None),),
    ),
    SiteFamily(
        Family(
            "bridge_video_loss_ratio",
            "gauge",
            "RTP packets of video lost ÷ packets counted in the last valid test call, 0 to 1, by where the loss was "
            "seen (as bridge_rtp_loss_ratio, which is audio's); absent without video.",
        ),
        _by_direction(_video_loss_ratio, *Direction),
    ),
    SiteFamily(
        Family(
            "bridge_video_frame_loss_ratio",
            "gauge",
            "Video frames that came incomplete or not at all ÷ frames expected in the last valid test call, 0 to 1.",
        ),
        (("", lambda facts: frame_loss_ratio(facts.video) if facts.video else None),),
    ),
    SiteFamily(
        Family(
            "bridge_video_frame_rate",
            "gauge",
            "Video frames a second in the last valid test call, by RTP timestamps; absent where no picture came.",
        ),
        (("", lambda facts: facts.video.frame_rate if facts.video else None),),
    ),
    SiteFamily(
        Family(
            "bridge_tls_certificate_expiry_timestamp_seconds",
            "gauge",
            "When the certificate expires that the peer (the room, or the proxy before it) showed in the last valid "
            "test call, POSIX time; absent without TLS.",
        ),
        (("", _certificate_expiry),),
    ),
)

LAST_RUN: Final = SiteFamily(
    Family(
        "bridge_probe_last_run_timestamp_seconds",
        "gauge",
        "When the site's last test call was started, whatever became of it (POSIX time).",
    ),
    (("", _last_run),),
)

SITE_FAMILIES: Final = (
    SiteFamily(
        Family(
            "bridge_site_grade",
            "gauge",
            "The site's standing: 0 untested, 1 good, 2 degraded, 3 failed, 4 busy, 5 attends elsewhere. Busy and "
            "invalid calls leave it as it was.",
        ),
        (("", lambda facts: int(facts.grade)),),
    ),
    *_RESULT_FAMILIES,
    LAST_RUN,
    SiteFamily(
        Family(
            "bridge_rtp_packets_total",
            "counter",
            "RTP packets over which loss was counted in all valid test calls since the start, by where it was counted.",
        ),
        _by_direction(_packets, *Direction),
    ),
    SiteFamily(
        Family(
            "bridge_rtp_packets_lost_total",
            "counter",
            "RTP packets of bridge_rtp_packets_total that were lost.",
        ),
        _by_direction(_lost, *Direction),
    ),
)
"""The families of a scrape, in order."""

PROBE_FAMILIES: Final = (*_RESULT_FAMILIES, LAST_RUN)
"""The families of a single result (``/probe``): no standing, and no counter, since nothing came before it."""

PHASES: Final = Family(
    "bridge_probe_phase_seconds",
    "gauge",
    "Seconds that each phase of the last valid test call took; absent where a phase was not reached.",
)

ADVISORY: Final = Family(
    "bridge_site_advisory",
    "gauge",
    "1 for each advisory of the last valid test call: what the room's technician should know (docs/outcomes.md), never "
    "a fault of the line.",
)

INFO: Final = Family(
    "bridge_site_info",
    "gauge",
    "Names that belong to the codes: the site's, its province's and district's; the site above it; where it attends.",
)


def site_labels(site: Site, inventory: Inventory) -> str:
    """Return the labels that every series of a site carries: codes only; all of them always, some empty."""
    return label_pairs(
        {
            "site": site.code,
            "tier": site.tier,
            "province": inventory.province_of(site.code),
            "district": inventory.district_of(site.code),
            "carrier": site.carrier,
        }
    )


def info_labels(site: Site, inventory: Inventory) -> str:
    """Return the further labels of ``bridge_site_info``. No endpoint and no free column: a person might stand there."""
    province = inventory.get(inventory.province_of(site.code))
    district = inventory.get(inventory.district_of(site.code))
    return "," + label_pairs(
        {
            "name": site.name,
            "province_name": province.name if province else "",
            "district_name": district.name if district else "",
            "parent": site.parent or "",
            "attends_at": site.attends_at or "",
        }
    )


def site_facts(site: Site, state: SiteState | None, packets: Packets) -> Facts:
    """Return what is shown of a site; ``state`` is None for one without a state."""
    if site.attends_at is not None:
        return _facts(SiteGrade.ATTENDS_ELSEWHERE, None, None, {})
    if state is None:
        return _facts(SiteGrade.UNTESTED, None, None, packets)
    return _facts(state.grade, state.last_valid, _last_run_of(state), packets)


def probe_facts(result: ProbeResult, *, valid: bool) -> Facts:
    """Return what `PROBE_FAMILIES` show of a single result; an invalid one shows when it ran and nothing else."""
    return _facts(SiteGrade.UNTESTED, result if valid else None, result.started_at, {})


def render_families(families: Iterable[SiteFamily], facts: Facts, labels: str) -> Iterator[str]:
    """Yield for each family the lines of one site, without the header; empty where nothing was measured."""
    for entry in families:
        name = entry.family.name
        lines = ""
        for extra, read in entry.series:
            value = read(facts)
            if value is not None:
                lines += f"{name}{{{labels}{extra}}} {value}\n"
        yield lines


def render_phases(facts: Facts, labels: str) -> str:
    """Return one site's lines of ``bridge_probe_phase_seconds``."""
    phases = facts.result.phases if facts.result else {}
    return "".join(
        [
            f"{PHASES.name}{{{labels}{_further('phase', name)}}} {seconds}\n"
            for name, seconds in phases.items()
            if seconds is not None
        ]
    )


def render_advisories(facts: Facts, labels: str) -> str:
    """Return one site's lines of ``bridge_site_advisory``."""
    names = facts.result.advisories if facts.result else ()
    return "".join([f"{ADVISORY.name}{{{labels}{_further('advisory', name)}}} 1\n" for name in names])


def render_info(labels: str, info: str) -> str:
    """Return one site's line of ``bridge_site_info``; ``info`` are its further labels."""
    return f"{INFO.name}{{{labels}{info}}} 1\n"


def _facts(grade: SiteGrade, result: ProbeResult | None, last_run: datetime | None, packets: Packets) -> Facts:
    audio = audio_of(result) if result else None
    if result is None or audio is None:
        return Facts(grade, result, last_run, packets)
    video = video_of(result)
    video_losses = losses(video) if video else {}
    return Facts(grade, result, last_run, packets, audio, losses(audio), jitters(audio), video, video_losses)


def _last_run_of(state: SiteState) -> datetime | None:
    """Return when the site was last really called: a refused call sent nothing."""
    for result in (state.last, state.last_valid):
        if result is not None and result.outcome is not Outcome.REFUSED:
            return result.started_at
    return None


@cache
def _further(label: str, value: str) -> str:
    return f",{label_pairs({label: value})}"
