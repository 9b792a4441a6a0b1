"""``responder``: an echo room for test calls, beyond our uplink or in a province.

Owns the process's beginning and end and what is seen of it; the room is `responder`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final

import structlog
from rich.live import Live
from rich.text import Text

from bridge_monitor.cli.console import EXIT_GOOD, configure_log, grouped, messages, refuse
from bridge_monitor.cli.texts import text
from bridge_monitor.domain.wording import Lang
from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net.sip_udp import source_address_towards
from bridge_monitor.responder import Responder, ResponderSettings, Status
from bridge_monitor.responder.settings import SIP_PORT, is_address, parse_listen, parse_ports

_LOG = structlog.get_logger(__name__)
_FAR_AWAY: Final = ("192.0.2.1", 5060)  # a documentation address (RFC 5737): only a route is looked up
_REDRAW_SECONDS: Final = 1.0
_TOLD_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class ResponderWish:
    """What was asked for on the command line."""

    listen: str | None = None
    media_ports: str | None = None
    calls: int = 20
    allow: tuple[str, ...] = ()
    advertise: str | None = None
    duration: float | None = None


def run_responder(wish: ResponderWish, lang: Lang) -> int:
    """Answer until SIGTERM, Ctrl-C or the end of the duration; 3 if it can't, or its media process died."""
    configure_log(logging.INFO)
    settings = read_wish(wish, lang)
    try:
        return asyncio.run(_respond(settings, wish.duration, lang))
    except LocalFaultError as error:
        refuse(text("local_fault", lang, why=error))


def read_wish(wish: ResponderWish, lang: Lang) -> ResponderSettings:
    """Return the settings asked for; ends the command with a sentence on what can't be used."""
    try:
        host, port = parse_listen(wish.listen) if wish.listen else (_own_address(), SIP_PORT)
    except ValueError:
        refuse(text("bad_responder_listen", lang, value=wish.listen))
    try:
        ports = parse_ports(wish.media_ports) if wish.media_ports else None
    except ValueError:
        refuse(text("bad_responder_ports", lang, value=wish.media_ports))
    if wish.advertise is not None and not is_address(wish.advertise):
        refuse(text("bad_responder_advertise", lang, value=wish.advertise))
    allow = []
    for network in wish.allow:
        try:
            allow.append(IPv4Network(network))
        except ValueError:
            refuse(text("bad_responder_allow", lang, value=network))
    try:
        return ResponderSettings(
            host=host,
            port=port,
            advertise=wish.advertise or "",
            media_ports=ports,
            calls=wish.calls,
            allow=tuple(allow),
        )
    except ValueError:
        refuse(
            text("too_few_responder_ports", lang, value=wish.media_ports, calls=wish.calls, needed=2 * wish.calls + 1)
        )


def _own_address() -> str:
    """Return the address of this machine that most others see, or loopback on a machine without a route."""
    try:
        return source_address_towards(_FAR_AWAY)
    except LocalFaultError:
        return "127.0.0.1"


def _log_ended(by: str, seconds: float, packets: int) -> None:
    # No caller's address: a log is read by more people than those who run the room.
    _LOG.info("call_ended", by=by, seconds=round(seconds, 1), packets=packets)


async def _respond(settings: ResponderSettings, duration: float | None, lang: Lang) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    console = messages()
    responder = Responder(settings) if console.is_terminal else Responder(settings, _log_ended)
    await responder.start()
    died = False
    try:
        _LOG.info("responding", uri=f"sip:echo@{settings.reached_by}:{settings.port}", calls=settings.calls)
        if not settings.allow:
            _LOG.warning("anybody_may_call", mend="--allow NETWORK")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(duration):
                died = await _show_until(stop, responder, lang)
    finally:
        status = responder.status()
        await responder.stop()
    if died:
        refuse(text("responder_died", lang))
    console.print(status_line(status, lang))
    return EXIT_GOOD


async def _show_until(stop: asyncio.Event, responder: Responder, lang: Lang) -> bool:
    """Show how it fares until told to stop (False) or until the media process has died (True)."""
    console = messages()
    loop = asyncio.get_running_loop()
    told_at = loop.time()
    with (
        Live(console=console, auto_refresh=False, transient=True)
        if console.is_terminal
        else contextlib.nullcontext() as live
    ):
        while not stop.is_set():
            if not responder.alive:
                return True
            if live is not None:
                live.update(status_line(responder.status(), lang), refresh=True)
            elif loop.time() - told_at >= _TOLD_SECONDS:
                told_at = loop.time()
                _log_status(responder.status())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REDRAW_SECONDS):
                    await stop.wait()
    return False


def _log_status(status: Status) -> None:
    tally = status.tally
    _LOG.info(
        "status",
        calls_up=status.calls_up,
        answered=tally.answered,
        busy=tally.busy,
        refused=tally.refused,
        ignored=tally.ignored,
        packets=status.packets,
        strays=status.strays,
        dropped=status.dropped,
        unsent=status.unsent,
        late_seconds=status.late_seconds,
    )


def status_line(status: Status, lang: Lang) -> Text:
    """Return how it fares in one line."""
    tally = status.tally
    line = Text(
        text(
            "responder_status",
            lang,
            up=status.calls_up,
            answered=grouped(tally.answered, lang),
            busy=grouped(tally.busy, lang),
            refused=grouped(tally.refused, lang),
            packets=grouped(status.packets, lang),
            late="–" if status.late_seconds is None else f"{status.late_seconds * 1000:.1f} ms",
        )
    )
    lost = status.dropped + status.unsent
    if lost:
        line.append(" " + text("responder_lost", lang, count=grouped(lost, lang)), style="bold red")
    return line
