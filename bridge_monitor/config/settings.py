"""Reads ``bridge_monitor.yaml``: profiles, caps, intervals, overrides, listen addresses.

Owns the file's keys; their meaning and defaults belong to the rooms whose settings they become.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field

from bridge_monitor.config import values
from bridge_monitor.config.credentials import WrittenAccount, check_credentials, read_credentials
from bridge_monitor.config.documents import Document, KeyPath, Strict, fit, read_document
from bridge_monitor.config.problems import Problems, guess_name, listing
from bridge_monitor.config.references import Known
from bridge_monitor.config.tls import MainTlsKeys, TlsKeys, TlsReader, overridden
from bridge_monitor.diagnosis import Confirmation
from bridge_monitor.net.dns_client import RESOLVE_TIMEOUT_SECONDS, DnsSettings
from bridge_monitor.probes import Profile, Route, TlsBook
from bridge_monitor.probes.reference import USUAL_PROFILE, Reference
from bridge_monitor.quality import Thresholds
from bridge_monitor.schedule import Caps, CapSet, Intervals
from bridge_monitor.sip import TlsSettings

FILE: Final = "bridge_monitor.yaml"
NOT_TESTABLE: Final = "none"
"""In column ``probe``: not testable from here; no profile may be called so."""

_DEFAULT: Final = "default"
_Seconds = Annotated[float, BeforeValidator(values.duration_between("1 ms", "24 h"))]
_Bandwidth = Annotated[float, BeforeValidator(values.bandwidth), Field(gt=0)]
_VideoRate = Annotated[float, BeforeValidator(values.bandwidth_between("64 kbit/s", "14 Mbit/s"))]
_Ratio = Annotated[float, BeforeValidator(values.ratio), Field(gt=0)]
_Dscp = Annotated[int, BeforeValidator(values.dscp)]
_Count = Annotated[int, Field(ge=1, le=100)]


class _MediaKeys(Strict):
    codecs: Annotated[tuple[Literal["PCMU", "PCMA"], ...], Field(min_length=1)] = ("PCMU", "PCMA")
    large_packets: Annotated[int, Field(ge=0, le=500)] = 0
    tone: bool = False
    video: _VideoRate | None = None
    frame_rate: Annotated[int, Field(ge=5, le=30)] = 25


class _DscpKeys(Strict):
    audio: _Dscp = 46
    video: _Dscp = 34
    signalling: _Dscp = 24


class _ThresholdKeys(Strict):
    loss_degraded: _Ratio | None = None
    loss_failed: _Ratio | None = None
    rtt_degraded: _Seconds | None = None
    rtt_failed: _Seconds | None = None
    jitter_degraded: _Seconds | None = None
    setup_degraded: _Seconds | None = None


class _ProbeKeys(Strict):
    kind: Literal["sip", "sip-options"] = "sip"
    duration: Annotated[float, BeforeValidator(values.duration_between("1 s", "1 h"))] = 10.0
    answer_timeout: Annotated[float, BeforeValidator(values.duration_between("1 s", "3 min"))] = 10.0
    media: _MediaKeys = _MediaKeys()
    dscp: _DscpKeys = _DscpKeys()
    thresholds: dict[str, _ThresholdKeys] = Field(default_factory=dict)


class _CapsKeys(Strict):
    calls_per_second: Annotated[float, Field(gt=0)] | None = None
    calls_at_once: Annotated[int, Field(ge=1)] | None = None
    bandwidth: _Bandwidth | None = None


class _AllCapsKeys(Strict):
    total: _CapsKeys = _CapsKeys()
    per_province: _CapsKeys = _CapsKeys()
    per_carrier: _CapsKeys = _CapsKeys()


class _IntervalKeys(Strict):
    tiers: dict[str, _Seconds] = Field(default_factory=dict)
    default: _Seconds = 900.0
    retry: _Seconds = 60.0
    retries: Annotated[int, Field(ge=0, le=100)] = 3
    min_between_calls: _Seconds = 300.0


class _OverrideKeys(Strict):
    proxy: Annotated[str, BeforeValidator(values.proxy)] | None = None
    dscp: _Dscp | None = None
    source: Annotated[str, BeforeValidator(values.source)] | None = None
    tls: TlsKeys | None = None
    caps: _CapsKeys = _CapsKeys()


class _ListenKeys(Strict):
    http: Annotated[tuple[str, int], BeforeValidator(values.listen)] = ("127.0.0.1", 9817)
    sip: Annotated[tuple[str, int], BeforeValidator(values.listen)] = ("0.0.0.0", 0)  # noqa: S104 - rooms are elsewhere
    rtp_ports: Annotated[tuple[int, int], BeforeValidator(values.ports)] | None = None
    state_dir: str | None = None


class _DnsKeys(Strict):
    servers: Annotated[
        tuple[Annotated[tuple[str, int], BeforeValidator(values.dns_server)], ...], Field(max_length=8)
    ] = ()
    timeout: Annotated[float, BeforeValidator(values.duration_between("500 ms", "5 s"))] = RESOLVE_TIMEOUT_SECONDS


class _ConfirmationKeys(Strict):
    bad_of: _Count = 2
    window: _Count = 3
    good_in_row: _Count = 2


class _ReferenceKeys(Strict):
    responders: Annotated[
        dict[str, Annotated[str, BeforeValidator(values.responder)]], Field(min_length=1, max_length=8)
    ]
    profile: str | None = None
    bad_after: Annotated[int, Field(ge=1, le=3)] = 1
    good_after: _Count = 1


class _SettingsKeys(Strict):
    tiers: list[str]
    default_profile: str | None = None
    vantage: Annotated[str, Field(min_length=1)] = "centre"
    probes: dict[str, _ProbeKeys]
    caps: _AllCapsKeys = _AllCapsKeys()
    intervals: _IntervalKeys = _IntervalKeys()
    provinces: dict[str, _OverrideKeys] = Field(default_factory=dict)
    carriers: dict[str, _OverrideKeys] = Field(default_factory=dict)
    listen: _ListenKeys = _ListenKeys()
    dns: _DnsKeys = _DnsKeys()
    confirmation: _ConfirmationKeys = _ConfirmationKeys()
    reference: _ReferenceKeys | None = None
    credentials: list[Any] = Field(default_factory=list)
    tls: MainTlsKeys = MainTlsKeys()


@dataclass(frozen=True, slots=True)
class Listen:
    """Local addresses and places.

    Attributes:
        http_host: Where exporter and API listen.
        http_port: Their port.
        sip_host: Where SIP is received; ``0.0.0.0`` for every address.
        sip_port: Its port; 0 lets the system choose.
        rtp_ports: First and last local port for media; None lets the system choose.
        state_dir: Where journal and locks are kept; None for the program's own choice.
    """

    http_host: str = "127.0.0.1"
    http_port: int = 9817
    sip_host: str = "0.0.0.0"  # noqa: S104 - rooms are on other machines; only media and SIP answers come in
    sip_port: int = 0
    rtp_ports: tuple[int, int] | None = None
    state_dir: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What ``bridge_monitor.yaml`` says; of use only if nothing fatal was found.

    Attributes:
        tiers: Tiers from the top down; None if they could not be read.
        profile_names: All names under ``probes:``, even of profiles with problems.
        default_profile: Profile of sites that name none.
        credentials: Our accounts at rooms and proxies.
        tls: What TLS peers must show, and what we show them, where no province or carrier says otherwise.
        file: The file's name as the operator gave it.
        line: Gives the line of a key.
    """

    tiers: tuple[str, ...] | None
    profile_names: tuple[str, ...] | None
    default_profile: str | None = None
    profiles: Mapping[str, Profile] = field(default_factory=lambda: MappingProxyType({}))
    caps: CapSet = field(default_factory=CapSet)
    intervals: Intervals = field(default_factory=Intervals)
    provinces: Mapping[str, Route] = field(default_factory=lambda: MappingProxyType({}))
    carriers: Mapping[str, Route] = field(default_factory=lambda: MappingProxyType({}))
    listen: Listen = field(default_factory=Listen)
    dns: DnsSettings = field(default_factory=DnsSettings)
    confirmation: Confirmation = field(default_factory=Confirmation)
    reference: Reference = field(default_factory=Reference)
    credentials: tuple[WrittenAccount, ...] = ()
    tls: TlsBook = field(default_factory=TlsBook)
    vantage: str = "centre"
    file: str = FILE
    line: Callable[[KeyPath], int] = lambda _path: 1


def read_settings(path: Path, problems: Problems) -> Settings:
    """Read and check ``bridge_monitor.yaml``; what needs the site list is checked by `check_settings`."""
    document = read_document(path, problems)
    keys = fit(document, _SettingsKeys, problems, stand_ins={"tiers": [], "probes": {}}) if document else None
    if document is None or keys is None:
        return Settings(None, None)
    return _Reader(document, keys, problems).read(path.parent)


def check_settings(settings: Settings, known: Known, problems: Problems) -> None:
    """Check the overrides' provinces and carriers against the site list."""
    for code in settings.provinces:
        known.check_province(problems, settings.file, settings.line(("provinces", code)), code)
    for name in settings.carriers:
        known.check_carrier(problems, settings.file, settings.line(("carriers", name)), name)
    check_credentials(settings.credentials, settings.file, settings.line, known, problems)
    for code in settings.tls.sites:
        known.check_site(problems, settings.file, settings.line(("tls", "sites", code)), code)


class _Reader:
    def __init__(self, document: Document, keys: _SettingsKeys, problems: Problems) -> None:
        self._document = document
        self._keys = keys
        self._problems = problems

    def read(self, folder: Path) -> Settings:
        keys, plain = self._keys, self._document.plain
        tiers = self._tiers()
        names = tuple(plain["probes"]) if isinstance(plain.get("probes"), dict) else None
        if names is not None and NOT_TESTABLE in names:
            self._note(("probes", NOT_TESTABLE), "reserved_profile")
        default = keys.default_profile
        self._check_known(("default_profile",), default, names)
        listen = keys.listen
        profiles = {name: self._profile(name, probe, tiers) for name, probe in keys.probes.items()}
        tls = TlsReader(keys.tls, folder, self._note)
        book = tls.book()
        return Settings(
            tiers=tiers,
            profile_names=names,
            default_profile=default,
            profiles=MappingProxyType(profiles),
            caps=self._caps(),
            intervals=self._intervals(tiers),
            provinces=_routes(keys.provinces, overridden(tls, "provinces", keys.provinces)),
            carriers=_routes(keys.carriers, overridden(tls, "carriers", keys.carriers)),
            listen=Listen(
                *listen.http,
                *listen.sip,
                rtp_ports=listen.rtp_ports,
                state_dir=folder / listen.state_dir if listen.state_dir else None,
            ),
            dns=DnsSettings(keys.dns.servers, keys.dns.timeout),
            confirmation=self._confirmation(),
            reference=replace(self._reference(profiles, names), tls=book.default),
            credentials=read_credentials(self._document, self._problems, folder),
            tls=book,
            vantage=keys.vantage,
            file=self._document.file,
            line=self._document.line,
        )

    def _note(self, path: KeyPath, key: str, /, **facts: Any) -> None:
        self._problems.add(self._document.file, self._document.line(path), key, **facts)

    def _check_known(self, path: KeyPath, profile: str | None, names: tuple[str, ...] | None) -> None:
        if profile is not None and names is not None and profile not in names:
            guess = guess_name(profile, names)
            self._note(path, "unknown_profile", profile=profile, known=listing(names), guess=guess)

    def _tiers(self) -> tuple[str, ...] | None:
        tiers = self._keys.tiers
        if not tiers:
            if self._document.plain.get("tiers") == []:
                self._note(("tiers",), "too_few_tiers")
            return None
        for place, tier in enumerate(tiers):
            if tier in tiers[:place]:
                self._note(("tiers", place), "duplicate_tier", tier=tier)
        if len(tiers) < 2:
            self._note(("tiers",), "too_few_tiers")
        return tuple(tiers)

    # --- profiles ----------------------------------------------------------------------------------------------------

    def _profile(self, name: str, keys: _ProbeKeys, tiers: tuple[str, ...] | None) -> Profile:
        path = ("probes", name, "thresholds")
        base = self._limits((*path, _DEFAULT), Thresholds(), keys.thresholds.get(_DEFAULT))
        thresholds = {_DEFAULT: base}
        for tier, written in keys.thresholds.items():
            if tier == _DEFAULT:
                continue
            if tiers is not None and tier not in tiers:
                self._unknown_tier((*path, tier), (_DEFAULT, *tiers))
            thresholds[tier] = self._limits((*path, tier), base, written)
        return Profile(
            name=name,
            kind=keys.kind,
            duration_seconds=keys.duration,
            answer_timeout_seconds=keys.answer_timeout,
            codecs=tuple(dict.fromkeys(keys.media.codecs)),
            large_packets=keys.media.large_packets,
            tone=keys.media.tone,
            video_bps=round(keys.media.video or 0),
            video_fps=keys.media.frame_rate,
            dscp_audio=keys.dscp.audio,
            dscp_video=keys.dscp.video,
            dscp_signalling=keys.dscp.signalling,
            thresholds=MappingProxyType(thresholds),
        )

    def _limits(self, path: tuple[str, ...], base: Thresholds, keys: _ThresholdKeys | None) -> Thresholds:
        """Return the limits of a tier; what it doesn't say is as in the base."""
        if keys is None:
            return base
        limits = {
            "loss_degraded": keys.loss_degraded or base.loss_degraded,
            "loss_failed": keys.loss_failed or base.loss_failed,
            "rtt_degraded_seconds": keys.rtt_degraded or base.rtt_degraded_seconds,
            "rtt_failed_seconds": keys.rtt_failed or base.rtt_failed_seconds,
            "jitter_degraded_seconds": keys.jitter_degraded or base.jitter_degraded_seconds,
            "setup_degraded_seconds": keys.setup_degraded or base.setup_degraded_seconds,
        }
        in_order = True
        for what, unit in (("loss", ""), ("rtt", "_seconds")):
            low, high = limits[f"{what}_degraded{unit}"], limits[f"{what}_failed{unit}"]
            if low > high:
                in_order = False
                facts = {"low": f"{what}_degraded", "low_value": low, "high": f"{what}_failed", "high_value": high}
                self._note(path, "threshold_order", path=".".join(path), **facts)
        return Thresholds(**limits) if in_order else base

    def _unknown_tier(self, path: tuple[str, ...], known: tuple[str, ...]) -> None:
        guess = guess_name(path[-1], known)
        self._note(path, "unknown_tier_key", path=".".join(path), known=listing(known), guess=guess)

    # --- the plan ----------------------------------------------------------------------------------------------------

    def _caps(self) -> CapSet:
        keys, shy = self._keys, CapSet()
        per_province = _merge(shy.per_province, keys.caps.per_province)
        per_carrier = _merge(shy.per_carrier, keys.caps.per_carrier)
        return CapSet(
            total=_merge(shy.total, keys.caps.total),
            per_province=per_province,
            per_carrier=per_carrier,
            overrides_province=_overrides(per_province, keys.provinces),
            overrides_carrier=_overrides(per_carrier, keys.carriers),
        )

    def _intervals(self, tiers: tuple[str, ...] | None) -> Intervals:
        keys = self._keys.intervals
        for tier in keys.tiers:
            if tiers is not None and tier not in tiers:
                self._unknown_tier(("intervals", "tiers", tier), tiers)
        return Intervals(
            by_tier=MappingProxyType(keys.tiers),
            default=keys.default,
            retry=keys.retry,
            retries=keys.retries,
            min_between_calls=keys.min_between_calls,
        )

    def _confirmation(self) -> Confirmation:
        keys = self._keys.confirmation
        counts = {"bad_of": keys.bad_of, "good_in_row": keys.good_in_row}
        in_order = True
        for name, count in counts.items():
            if count > keys.window:
                in_order = False
                self._note(("confirmation", name), "confirmation_order", name=name, count=count, window=keys.window)
        return Confirmation(window=keys.window, **counts) if in_order else Confirmation()

    def _reference(self, profiles: Mapping[str, Profile], names: tuple[str, ...] | None) -> Reference:
        keys = self._keys.reference
        if keys is None:
            return Reference()
        profile = USUAL_PROFILE
        if keys.profile is not None:
            path = ("reference", "profile")
            self._check_known(path, keys.profile, names)
            profile = profiles.get(keys.profile, profile)
            if profile.kind != "sip":
                self._note(path, "silent_reference", profile=profile.name, kind=profile.kind)
        return Reference(MappingProxyType(keys.responders), profile, keys.bad_after, keys.good_after)


def _routes(overrides: Mapping[str, _OverrideKeys], tls: Mapping[str, TlsSettings]) -> Mapping[str, Route]:
    return MappingProxyType({name: replace(_route(keys), tls=tls.get(name)) for name, keys in overrides.items()})


def _route(keys: _OverrideKeys) -> Route:
    return Route(proxy=keys.proxy, dscp=keys.dscp, source=keys.source)


def _merge(base: Caps, keys: _CapsKeys) -> Caps:
    """Return the caps with what the file says; what it doesn't say stays."""
    return replace(
        base,
        calls_per_second=keys.calls_per_second or base.calls_per_second,
        calls_at_once=keys.calls_at_once or base.calls_at_once,
        bandwidth_bps=keys.bandwidth or base.bandwidth_bps,
    )


def _overrides(base: Caps, overrides: Mapping[str, _OverrideKeys]) -> Mapping[str, Caps]:
    return MappingProxyType(
        {name: _merge(base, override.caps) for name, override in overrides.items() if override.caps != _CapsKeys()}
    )
