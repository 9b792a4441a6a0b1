"""The HTTP application: which paths there are and who answers them.

Owns the routes and what is common to all answers; calls, verdicts and configuration are the daemon's, reached through
`AppServices` alone.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from bridge_monitor.errors import ConfigError, Problem
from bridge_monitor.web.language import say
from bridge_monitor.web.pages import handle_index
from bridge_monitor.web.probe_page import ProbePage
from bridge_monitor.web.scrape import Metrics
from bridge_monitor.web.services import SERVICES, AppServices

__all__ = ["AppServices", "create_app"]

_ACTING: Final = frozenset({"/probe", "/-/reload"})
_OWN_ORIGIN: Final = frozenset({"", "none", "same-origin"})


def create_app(services: AppServices) -> web.Application:
    """Return the application; it neither listens (`serve`) nor works before it is started.

    No path but ``/probe`` and ``/-/reload`` does more than read. Those two are closed to pages of other sites that a
    browser on this host may have open (Fetch Metadata, ``Sec-Fetch-Site``).
    """
    app = web.Application(middlewares=[_refuse_cross_site])
    app[SERVICES] = services
    metrics = Metrics()
    app.cleanup_ctx.append(metrics.background)
    app.on_response_prepare.append(_no_sniffing)
    app.router.add_get("/", handle_index)
    app.router.add_get("/metrics", metrics.handle, allow_head=False)
    app.router.add_get("/probe", ProbePage().handle, allow_head=False)
    app.router.add_get("/-/healthy", _handle_healthy)
    app.router.add_get("/-/ready", _handle_ready)
    app.router.add_post("/-/reload", _handle_reload)
    app.router.add_get("/api/v1/sites/{code}/evidence", _handle_evidence)
    return app


@web.middleware
async def _refuse_cross_site(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path in _ACTING and request.headers.get("Sec-Fetch-Site", "") not in _OWN_ORIGIN:
        raise web.HTTPForbidden(text=say(request, "cross_site") + "\n")
    return await handler(request)


async def _no_sniffing(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"


async def _handle_healthy(request: web.Request) -> web.Response:
    return web.Response(text=say(request, "healthy") + "\n")


async def _handle_ready(request: web.Request) -> web.Response:
    if request.app[SERVICES].ready():
        return web.Response(text=say(request, "ready") + "\n")
    return web.Response(status=503, text=say(request, "not_ready") + "\n")


async def _handle_reload(request: web.Request) -> web.Response:
    try:
        problems = await request.app[SERVICES].reload()
    except ConfigError as error:
        problems = error.problems
    failed = any(not problem.warning for problem in problems)
    head = say(request, "reload_failed" if failed else "reloaded")
    return web.Response(status=500 if failed else 200, text="\n".join([head, *map(_line, problems)]) + "\n")


def _line(problem: Problem) -> str:
    return f"{problem} (warning)" if problem.warning else str(problem)


async def _handle_evidence(request: web.Request) -> web.Response:
    services = request.app[SERVICES]
    code = request.match_info["code"]
    if code not in services.snapshot().inventory:
        return _problem(404, "unknown_site", say(request, "unknown_site", code=code))
    evidence = services.evidence(code)
    if evidence is None:
        return _problem(404, "no_evidence", say(request, "no_evidence", code=code))
    return web.json_response({"site": code, "evidence": evidence.to_dict()})


def _problem(status: int, error: str, message: str) -> web.Response:
    return web.json_response({"error": error, "message": message}, status=status)
