"""``/probe``: one site called now, its result as an exposition of its own, or in full with ``debug=true``.

Owns the parameters and the text; the call itself, with its windows and caps, is the daemon's. Only sites of the
inventory are called: this must never become an open relay for calls.
"""

from __future__ import annotations

import json
from typing import Final

from aiohttp import web

from bridge_monitor.domain import Evidence, Outcome, ProbeResult, Site
from bridge_monitor.errors import RefusedError
from bridge_monitor.web.language import say
from bridge_monitor.web.services import SERVICES
from bridge_monitor.web.site_series import (
    ADVISORY,
    PHASES,
    PROBE_FAMILIES,
    probe_facts,
    render_advisories,
    render_families,
    render_phases,
    site_labels,
)
from bridge_monitor.web.streams import audio_of, losses, tells_of_the_line
from bridge_monitor.web.text import CONTENT_TYPE, Family, label_pairs

RESULT_INFO: Final = Family("bridge_probe_result_info", "gauge", "What became of this test call.")
PACKETS: Final = Family(
    "bridge_probe_rtp_packets", "gauge", "RTP packets over which loss was counted in this test call."
)
LOST: Final = Family("bridge_probe_rtp_packets_lost", "gauge", "RTP packets of this test call that were lost.")
INVALID: Final = Family(
    "bridge_probe_invalid", "gauge", "1 for each fault of this machine that makes this measurement invalid."
)

_PARAMETERS: Final = ("target", "module", "debug", "lang")
_TRUTH: Final = {"true": True, "1": True, "false": False, "0": False, "": False}


class ProbePage:
    """Handles ``/probe``."""

    def __init__(self) -> None:
        self._up = 0

    async def handle(self, request: web.Request) -> web.Response:
        """Call the site and answer with what was found.

        400 for what can never be called, 503 for what must not be called now; a call that fails is a 200 with its
        figures.
        """
        services = request.app[SERVICES]
        site, profile, debug = _parse(request)
        inventory = services.snapshot().inventory
        if self._up >= services.probes_at_once:
            raise web.HTTPServiceUnavailable(text=say(request, "too_many", limit=services.probes_at_once) + "\n")
        self._up += 1
        try:
            result, evidence = await services.probe(site.code, profile)
        except RefusedError as error:
            raise _refused(request, error.reason, str(error)) from error
        finally:
            self._up -= 1
        if result.outcome is Outcome.REFUSED:
            raise _refused(request, result.reason or "refused", site.code)
        exposition = probe_exposition(result, site_labels(site, inventory))
        if not debug:
            return web.Response(text=exposition, headers={"Content-Type": CONTENT_TYPE})
        return web.Response(text=debug_text(result, evidence, exposition))


def probe_exposition(result: ProbeResult, labels: str) -> str:
    """Return the exposition of one result: what was not measured, or is invalid, is absent."""
    valid = tells_of_the_line(result)
    facts = probe_facts(result, valid=valid)
    info = {
        "outcome": str(result.outcome),
        "reason": result.reason or "",
        "grade": str(result.grade),
        "sip_status": str(result.sip.status) if result.sip else "",
    }
    lines = [RESULT_INFO.header, RESULT_INFO.sample(f"{labels},{label_pairs(info)}", 1)]
    for entry, text in zip(PROBE_FAMILIES, render_families(PROBE_FAMILIES, facts, labels), strict=True):
        lines += (entry.family.header, text)
    lines += (PHASES.header, render_phases(facts, labels), ADVISORY.header, render_advisories(facts, labels))
    audio = audio_of(result) if valid else None
    measured = losses(audio) if audio else {}
    for family, column in ((PACKETS, 0), (LOST, 1)):
        lines.append(family.header)
        lines += [family.sample(f'{labels},direction="{way}"', loss.counted[column]) for way, loss in measured.items()]
    lines.append(INVALID.header)
    lines += [INVALID.sample(f"{labels},{label_pairs({'reason': reason})}", 1) for reason in result.invalid]
    return "".join(lines)


def debug_text(result: ProbeResult, evidence: Evidence | None, exposition: str) -> str:
    """Return everything known of one call: its result, SIP ladder, descriptions, and metrics."""
    parts = ["# Result\n", json.dumps(result.to_dict(), ensure_ascii=False, indent=2), "\n\n# SIP ladder\n"]
    parts += _ladder(evidence) if evidence else ["(no SIP message was seen)\n"]
    parts += ["\n# Metrics\n", exposition]
    return "".join(parts)


def _ladder(evidence: Evidence) -> list[str]:
    lines = []
    for step in evidence.ladder:
        arrow = "──▶" if step.sent else "◀──"
        again = " (retransmission)" if step.retransmission else ""
        lines.append(f"{step.at_seconds:9.3f} s {arrow} {step.peer}  {step.start_line}{again}\n")
    for title, description in (("Offer", evidence.offer), ("Answer", evidence.answer)):
        if description is not None:
            lines.append(f"\n# {title}\n{description.rstrip()}\n")
    return lines


def _parse(request: web.Request) -> tuple[Site, str, bool]:
    services = request.app[SERVICES]
    query = request.query
    for name in query:
        if name not in _PARAMETERS:
            raise _bad(request, "unknown_parameter", name=name, known=", ".join(_PARAMETERS))
        if len(query.getall(name)) > 1:
            raise _bad(request, "repeated_parameter", name=name)
    code = query.get("target", "")
    if not code:
        raise _bad(request, "missing_target")
    site = services.snapshot().inventory.get(code)
    if site is None:
        raise _bad(request, "unknown_target", code=code)
    if site.attends_at is not None:
        raise _bad(request, "attends_elsewhere", code=code, host=site.attends_at)
    if site.probe is None or not site.testable:
        raise _bad(request, "not_testable", code=code)
    module = query.get("module", site.probe)
    profiles = services.profiles()
    if module not in profiles:
        raise _bad(request, "unknown_module", module=module, known=", ".join(sorted(profiles)))
    debug = _TRUTH.get(query.get("debug", "").lower())
    if debug is None:
        raise _bad(request, "bad_debug", value=query["debug"])
    return site, module, debug


def _bad(request: web.Request, key: str, **values: object) -> web.HTTPBadRequest:
    return web.HTTPBadRequest(text=say(request, key, **values) + "\n")


def _refused(request: web.Request, reason: str, detail: str) -> web.HTTPServiceUnavailable:
    return web.HTTPServiceUnavailable(text=say(request, "refused", reason=reason, detail=detail) + "\n")
