"""What calls need in one process, brought up and taken down in order: engine, SIP sockets, journals, locks.

Owns the order of start and end (orphans of earlier processes are ended before anybody is called); must not plan calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import structlog

from bridge_monitor.config import Configuration
from bridge_monitor.daemon.ledger import Ledger, open_journals
from bridge_monitor.daemon.orphans import CredentialsTowards, end_orphans, no_credentials
from bridge_monitor.errors import LocalFaultError, RefusedError
from bridge_monitor.net.channel import WireTap
from bridge_monitor.net.clock import LoopLagMonitor
from bridge_monitor.net.dns_client import DnsSettings
from bridge_monitor.net.engine import EngineSettings, MediaEngine
from bridge_monitor.net.host_drops import HostDrops, KernelCounters
from bridge_monitor.net.locks import SiteLocks
from bridge_monitor.net.names import Names
from bridge_monitor.net.sip_udp import SipStack, source_address_towards
from bridge_monitor.probes.call import SipCall
from bridge_monitor.probes.cards import Cards
from bridge_monitor.probes.shapes import CallSite, Equipment, Finished
from bridge_monitor.probes.story import Progress, quiet

_LOG = structlog.get_logger(__name__)
_ORPHAN_PATIENCE: Final = 8.0
_HAND_ORPHAN_PATIENCE: Final = 4.5
"""A room that is there answers at once, or repeats its 200 after T2 = 4 s at the latest (RFC 3261 §13.3.1.4)."""
_DRAIN_PATIENCE: Final = 2.0
_ANY_HOST: Final = "0.0.0.0"  # noqa: S104 - the kernel's choice
_PORT_PAIRS: Final = 32
_VIDEO_BY_HAND: Final = 4
_FAR_AWAY: Final = ("192.0.2.1", 5060)  # documentation addresses (RFC 5737): only a route is looked up
_SHARE_OF_RANGE: Final = 4
"""A process takes at most this part of a firewall's range: commands by hand run beside the daemon."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CentreSettings:
    """What a process that calls needs of this machine.

    Attributes:
        state_dir: Where locks and journals are kept; made if missing.
        vantage: Name of the place that calls leave from.
        calls_at_once: So many calls must fit into the engine.
        reference_calls: So many more, to the reference responders.
        sip_host: Address to call from; ``0.0.0.0`` for the kernel's choice.
        sip_port: Port to call from; 0 for any.
        media_host: Address that media are received on; ``0.0.0.0`` for all.
        rtp_ports: First and last local port for media; None for any.
        dns: How names are looked up.
        title: The event's title, which stands on the test card.
        video: Rates (bit/s) and paces (frames a second) of the video that its calls will send.
        credentials_towards: Gives our accounts for a URI: the calls of dead processes know no more of whom they called.
        alone: For the daemon: no other one may use the state directory.
    """

    state_dir: Path
    vantage: str = "centre"
    calls_at_once: int = 4
    reference_calls: int = 0
    sip_host: str = _ANY_HOST
    sip_port: int = 0
    media_host: str = _ANY_HOST
    rtp_ports: tuple[int, int] | None = None
    dns: DnsSettings = field(default_factory=DnsSettings)
    title: str = ""
    video: frozenset[tuple[int, int]] = frozenset()
    credentials_towards: CredentialsTowards = field(default=no_credentials, compare=False)
    alone: bool = False

    @classmethod
    def of(cls, configuration: Configuration, state_dir: Path | None, *, by_hand: bool = False) -> Self:
        """Return what a configuration asks for.

        Args:
            configuration: The checked configuration.
            state_dir: Takes the place of the configured one.
            by_hand: For a command beside the daemon, whose SIP port stays the daemon's.
        """
        listen = configuration.listen
        routes = (*configuration.provinces.values(), *configuration.carriers.values())
        return cls(
            state_dir=state_dir or listen.state_dir or default_state_dir(),
            vantage=configuration.vantage,
            calls_at_once=configuration.caps.total.calls_at_once or len(configuration.inventory),
            reference_calls=configuration.reference.calls_at_once,
            sip_host=listen.sip_host,
            sip_port=0 if by_hand else listen.sip_port,
            # A route with a source address of its own wants its media there, too.
            media_host=_ANY_HOST if any(route.source for route in routes) else listen.sip_host,
            rtp_ports=listen.rtp_ports,
            dns=configuration.dns,
            title=configuration.event.title,
            video=video_rates(configuration),
            credentials_towards=configuration.call_book().credentials_towards,
            alone=not by_hand,
        )

    @property
    def engine(self) -> EngineSettings:
        """The media engine's part."""
        # Video has a row of its own; a few are kept for calls by hand, whose profile may be another.
        calls = self.calls_at_once + self.reference_calls
        rows = calls + (calls if self.video else _VIDEO_BY_HAND)
        pairs = min(_PORT_PAIRS, rows)
        if self.rtp_ports is not None:
            low, high = self.rtp_ports
            pairs = max(1, min(pairs, len(range(low + low % 2, high, 2)) // _SHARE_OF_RANGE))
        return EngineSettings(rows=rows, port_pairs=pairs, port_range=self.rtp_ports, source_host=self.media_host)


def video_rates(configuration: Configuration) -> frozenset[tuple[int, int]]:
    """Return rates and paces of the video that is sent without being asked for by hand."""
    names = {site.probe or "" for site in configuration.inventory.testable()}
    profiles = [configuration.profiles[name] for name in names]
    if configuration.reference.responders:
        profiles.append(configuration.reference.profile)
    return frozenset(profile.video_rate for profile in profiles if profile.has_video)


def default_state_dir() -> Path:
    """Return where this user's locks and journals are kept: systemd's choice, the system's for root, else XDG's."""
    given = os.environ.get("STATE_DIRECTORY")
    if given:
        return Path(given.split(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/bridge_monitor")
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "bridge_monitor"


class CallCentre:
    """Everything calls share in this process; made by `open_centre`.

    Attributes:
        settings: What it was made with.
        equipment: What a `SipCall` needs.
        locks: One call at a time per site, over all processes.
        orphans_ended: Calls of earlier, killed processes that were ended at the start.
        left_to_journal: Calls that could not be ended when it was closed; the next start ends them.
    """

    def __init__(self, settings: CentreSettings, equipment: Equipment, locks: SiteLocks, orphans_ended: int) -> None:
        self.settings = settings
        self.equipment = equipment
        self.locks = locks
        self.orphans_ended = orphans_ended
        self.left_to_journal = 0

    async def place(self, site: CallSite) -> Finished:
        """Place one call."""
        return await SipCall(site, self.equipment).run()

    async def place_watched(
        self,
        site: CallSite,
        *,
        tap: WireTap | None = None,
        capture: bool = False,
        progress: Progress = quiet,
    ) -> Finished:
        """Place one call under a person's eyes: with its packets kept, its phases told."""
        return await SipCall(site, self.equipment, tap=tap, capture=capture, progress=progress).run()


@contextlib.asynccontextmanager
async def open_centre(settings: CentreSettings) -> AsyncIterator[CallCentre]:
    """Bring up engine, sockets and journal; end orphans first; take all down at the end.

    Raises:
        LocalFaultError: Something of this machine is not to be had; the text says what, and how to mend it.
        RefusedError: Another daemon runs with this state directory (reason ``daemon_running``).
    """
    state_dir = settings.state_dir
    _make_state_dir(state_dir)
    async with contextlib.AsyncExitStack() as stack:
        if settings.alone:
            stack.callback(os.close, _lock_out_others(state_dir))
        _check_address(settings.sip_host, settings.sip_port)
        ledger = Ledger(open_journals(state_dir))
        stack.callback(ledger.close)
        locks = _open_locks(state_dir)
        stack.callback(locks.close)
        patience = _ORPHAN_PATIENCE if settings.alone else _HAND_ORPHAN_PATIENCE
        ended = await end_orphans(ledger.orphans(), ledger.closed, patience, settings.credentials_towards)
        lag = LoopLagMonitor()
        sip = SipStack(settings.sip_host, settings.sip_port, on_closed=ledger.closed, on_late=lag.note_late)
        stack.callback(sip.close)
        lag.start()
        stack.push_async_callback(lag.stop)
        drops = HostDrops(KernelCounters(), asyncio.get_running_loop().time)
        drops.start()
        stack.push_async_callback(drops.stop)
        engine = await MediaEngine.start(settings.engine)
        stack.push_async_callback(engine.close)
        cards = Cards(settings.title)
        cards.prepare(settings.video)
        names = Names(settings.dns)
        equipment = Equipment(sip, engine, ledger, lag, settings.vantage, drops, cards, names)
        centre = CallCentre(settings, equipment, locks, ended)
        try:
            yield centre
        finally:
            await sip.drain(_DRAIN_PATIENCE)
            centre.left_to_journal = ledger.settle()
            if centre.left_to_journal:
                _LOG.warning("calls_left_to_the_journal", calls=centre.left_to_journal)


def _make_state_dir(state_dir: Path) -> None:
    try:
        state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as error:
        raise LocalFaultError(
            f"{state_dir}: the state directory can't be made ({error.strerror}); "
            "name another with listen.state_dir or --state-dir"
        ) from error
    if not os.access(state_dir, os.R_OK | os.W_OK | os.X_OK):
        raise LocalFaultError(
            f"{state_dir}: this user may not write to the state directory; "
            "give it to this user, or name another with listen.state_dir or --state-dir"
        )


def _lock_out_others(state_dir: Path) -> int:
    """Return a file descriptor that keeps other daemons out as long as it is open."""
    path = state_dir / "daemon.lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _not_kept(path, error) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise RefusedError("daemon_running", f"{state_dir}: another daemon runs with this state directory") from error
    return fd


def _check_address(host: str, port: int) -> None:
    """Find out now, not at the first call, whether SIP can have its address."""
    shown = f"{host}:{port}"
    if host == _ANY_HOST:
        if not port:
            return
        host = _usual_source()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((host, port))
        except OSError as error:
            raise LocalFaultError(
                f"SIP can't have {shown}: {error.strerror}; "
                "stop what uses it, or name another address and port of this machine with listen.sip"
            ) from error


def _usual_source() -> str:
    """Return the address that most calls leave from: the default route's, or loopback on a machine without one."""
    try:
        return source_address_towards(_FAR_AWAY)
    except LocalFaultError:
        return "127.0.0.1"


def _open_locks(state_dir: Path) -> SiteLocks:
    path = state_dir / "sites.lock"
    try:
        return SiteLocks(path)
    except OSError as error:
        raise _not_kept(Path(error.filename), error) from error


def _not_kept(path: Path, error: OSError) -> LocalFaultError:
    return LocalFaultError(
        f"{path}: the lock can't be kept: {error.strerror}; "
        "give the file to this user, or name another directory with listen.state_dir or --state-dir"
    )
