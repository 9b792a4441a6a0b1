"""The index page in both languages."""

from __future__ import annotations

import dataclasses
from html.parser import HTMLParser

import pytest

from bridge_monitor import __version__
from bridge_monitor.domain import Advisory, EventPhase
from tests.web.nation import Client, Daemon, result_of, state_of


class Page(HTMLParser):
    """Reads a page: its language, links and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.language = ""
        self.links: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "html":
            self.language = given["lang"] or ""
        if tag == "a":
            self.links.append(given["href"] or "")

    def handle_data(self, data: str) -> None:
        self.text += data


class TestIndex:
    @pytest.mark.parametrize(
        ("query", "header", "language", "told"),
        [
            ("", "", "en", "Sites: 5. Phase: rehearsal."),
            ("", "fr, vi-VN;q=0.8, en;q=0.5", "vi", "Số điểm cầu: 5. Giai đoạn: tổng duyệt."),
            ("?lang=vi", "en", "vi", "Kiểm tra đường truyền"),
            ("?lang=en", "vi", "en", "Line checks"),
            ("?lang=xx", "de", "en", "Line checks"),
        ],
    )
    async def test_it_says_where_things_stand_in_the_language_asked_for(
        self, client: Client, query: str, header: str, language: str, told: str
    ) -> None:
        response = await client.get(f"/{query}", headers={"Accept-Language": header})
        page = Page(await response.text())
        assert (response.status, response.content_type, page.language) == (200, "text/html", language)
        assert told in page.text
        assert __version__ in page.text

    async def test_it_says_how_many_sites_have_an_advisory(self, client: Client, daemon: Daemon) -> None:
        silent = state_of(result_of(advisories=(Advisory.SILENT_ROOM, Advisory.NO_VIDEO)))
        for states, told in (({}, "Sites with an advisory: 0."), ({"01001": silent}, "Sites with an advisory: 1.")):
            daemon.snapshot = dataclasses.replace(daemon.snapshot, states=states)
            assert told in Page(await (await client.get("/?lang=en")).text()).text

    @pytest.mark.parametrize("language", ["vi", "en"])
    async def test_it_lists_every_endpoint_and_its_links_work(self, client: Client, language: str) -> None:
        page = Page(await (await client.get(f"/?lang={language}")).text())
        for path in (
            "/metrics",
            "/probe?target=",
            "/-/healthy",
            "/-/ready",
            "/-/reload",
            "/api/v1/sites/CODE/evidence",
        ):
            assert path in page.text
        assert len(page.links) == 4
        for link in page.links:
            assert (await client.get(f"/{link}" if link.startswith("?") else link)).status == 200

    @pytest.mark.parametrize("phase", EventPhase)
    async def test_every_phase_has_a_name_in_both_languages(
        self, client: Client, daemon: Daemon, phase: EventPhase
    ) -> None:
        daemon.snapshot = dataclasses.replace(daemon.snapshot, phase=phase)
        english = Page(await (await client.get("/?lang=en")).text()).text
        vietnamese = Page(await (await client.get("/?lang=vi")).text()).text
        assert f"Phase: {phase}." in english
        assert f": {phase}." not in vietnamese
