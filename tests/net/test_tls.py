"""TLS against servers of asyncio and openssl's own: what is asked of a certificate, and the word for each failure."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge_monitor.errors import LocalFaultError
from bridge_monitor.net import tls
from bridge_monitor.net.sip_streams import Connected, NotConnectedError, SipStreams, StreamTimes
from bridge_monitor.net.sip_udp import SipUdp
from bridge_monitor.sip import SipUri, StreamAddress, TlsSettings, TransportFailed
from tests.authority import Authority, Certificate

pytestmark = pytest.mark.peer("openssl")
NAME = "room.example"
Serve = Callable[[ssl.SSLContext], Awaitable[tuple[str, int]]]
StartServer = Callable[..., Awaitable[tuple[str, int]]]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def room(authority: Authority) -> Certificate:
    return authority.issue("room", f"DNS:{NAME}", "IP:127.0.0.1")


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Return what starts a TLS server that reads until its peer has had enough."""
    servers: list[asyncio.Server] = []
    writers: list[asyncio.StreamWriter] = []

    async def start(context: ssl.SSLContext) -> tuple[str, int]:
        async def drain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            with contextlib.suppress(OSError):
                while await reader.read(4096):
                    pass
            writer.close()

        servers.append(await asyncio.start_server(drain, "127.0.0.1", 0, ssl=context))
        host, port = servers[-1].sockets[0].getsockname()
        return host, port

    yield start
    for server in servers:
        server.close()
    for writer in writers:
        writer.transport.abort()
    await asyncio.sleep(0.01)


@pytest.fixture
async def udp() -> AsyncIterator[SipUdp]:
    opened = SipUdp("127.0.0.1", 0)
    opened._streams = SipStreams(
        opened.agent, opened.local, opened.flush, times=StreamTimes(handshake=2.0), local_errors=opened.local_errors
    )
    yield opened
    opened.close()
    await asyncio.sleep(0.01)


@pytest.fixture
async def s_server(tmp_path: Path, free_tcp_port: Callable[[str], int]) -> AsyncIterator[StartServer]:
    """Return what starts ``openssl s_server``: unlike asyncio's, it tells the peer why a handshake failed."""
    started: list[subprocess.Popen[bytes]] = []

    async def start(shown: Certificate, *options: str) -> tuple[str, int]:
        address = ("127.0.0.1", free_tcp_port("127.0.0.1"))
        command = ["openssl", "s_server", "-accept", "{}:{}".format(*address), "-cert", str(shown.certificate)]
        with (tmp_path / "s_server.log").open("wb") as output:
            started.append(
                subprocess.Popen(  # noqa: ASYNC220 - it is begun here and runs beside the test
                    [*command, "-key", str(shown.key), "-quiet", *options],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
            )
        async with asyncio.timeout(20.0):
            while True:
                with contextlib.suppress(ConnectionRefusedError):
                    _, writer = await asyncio.open_connection(*address)
                    writer.close()
                    return address
                await asyncio.sleep(0.02)

    yield start
    for process in started:
        process.kill()
        process.wait()


async def failure(udp: SipUdp, address: tuple[str, int], name: str, settings: TlsSettings) -> str:
    """Return why no connection is to be had."""
    with pytest.raises(NotConnectedError) as caught:
        await udp.connect(StreamAddress(*address, "tls", name, settings))
    assert caught.value.reason in tls.REASONS
    assert udp._streams._open == {}
    return caught.value.reason


def trusting(authority: Authority) -> TlsSettings:
    return TlsSettings(ca_file=str(authority.ca_file))


class TestIdentity73:
    """RFC 5922 §7.3: the certificate has to name the domain that was called."""

    @pytest.mark.parametrize("name", [NAME, "127.0.0.1", "ROOM.example"])
    async def test_one_of_the_name_called_is_taken(
        self, udp: SipUdp, serve: Serve, authority: Authority, room: Certificate, name: str
    ) -> None:
        address = await serve(room.server_context())
        connected = await udp.connect(StreamAddress(*address, "tls", name, trusting(authority)))
        assert connected.tls is not None
        assert (connected.tls.version, connected.tls.verified) == ("TLSv1.3", "authority")
        left = connected.tls.expires_at - datetime.now(UTC)
        assert timedelta(days=9, hours=23) < left <= timedelta(days=10)
        assert connected.tls_seconds > 0.0

    async def test_a_connection_that_is_there_says_the_same_at_no_cost(
        self, udp: SipUdp, serve: Serve, authority: Authority, room: Certificate
    ) -> None:
        address = StreamAddress(*await serve(room.server_context()), "tls", NAME, trusting(authority))
        first = await udp.connect(address)
        assert await udp.connect(address) == Connected(0.0, 0.0, first.tls)

    async def test_one_of_another_name_is_not(
        self, udp: SipUdp, serve: Serve, authority: Authority, room: Certificate
    ) -> None:
        address = await serve(room.server_context())
        assert await failure(udp, address, "other.example", trusting(authority)) == "wrong_name"

    async def test_a_wildcard_is_not(self, udp: SipUdp, serve: Serve, authority: Authority) -> None:
        """OpenSSL alone would take it."""
        address = await serve(authority.issue("wildcard", "DNS:*.example").server_context())
        assert await failure(udp, address, NAME, trusting(authority)) == "wrong_name"

    async def test_a_sip_uri_counts_before_dns_names(self, udp: SipUdp, serve: Serve, authority: Authority) -> None:
        issued = authority.issue("uri", "URI:sip:bridge.example", f"DNS:{NAME}")
        address = await serve(issued.server_context())
        assert await failure(udp, address, NAME, trusting(authority)) == "wrong_name"
        assert (await udp.connect(StreamAddress(*address, "tls", "bridge.example", trusting(authority)))).tls

    async def test_the_name_is_shown_to_the_server(
        self, udp: SipUdp, serve: Serve, authority: Authority, room: Certificate
    ) -> None:
        """RFC 6066 §3; an address may not stand there."""
        shown: list[str | None] = []
        context = room.server_context()
        context.sni_callback = lambda _connection, name, _context: shown.append(name)
        address = await serve(context)
        for name in (NAME, "127.0.0.1"):
            await udp.connect(StreamAddress(*address, "tls", name, trusting(authority)))
        assert shown == [NAME, None]


class TestTrust:
    async def test_an_unknown_authority_is_refused(self, udp: SipUdp, serve: Serve, room: Certificate) -> None:
        """The system's authorities don't know ours."""
        assert await failure(udp, await serve(room.server_context()), NAME, TlsSettings()) == "unknown_ca"

    async def test_one_that_has_expired_is_refused(self, udp: SipUdp, serve: Serve, authority: Authority) -> None:
        old = authority.issue("old", f"DNS:{NAME}", days=-1)
        assert await failure(udp, await serve(old.server_context()), NAME, trusting(authority)) == "expired"

    async def test_a_pin_takes_the_place_of_authority_name_and_dates(
        self, udp: SipUdp, serve: Serve, authority: Authority
    ) -> None:
        old = authority.issue("pinned", "DNS:other.example", days=-1)
        settings = TlsSettings(pins=("00" * 32, old.fingerprint))
        connected = await udp.connect(StreamAddress(*await serve(old.server_context()), "tls", NAME, settings))
        assert connected.tls.verified == "pin"
        assert connected.tls.expires_at < datetime.now(UTC)

    async def test_another_certificate_than_the_pinned_is_refused(
        self, udp: SipUdp, serve: Serve, room: Certificate
    ) -> None:
        address = await serve(room.server_context())
        assert await failure(udp, address, NAME, TlsSettings(pins=("00" * 32,))) == "pin_mismatch"

    async def test_without_verification_any_is_taken_and_that_is_told(
        self, udp: SipUdp, serve: Serve, room: Certificate
    ) -> None:
        address = StreamAddress(*await serve(room.server_context()), "tls", "x", TlsSettings(verify=False))
        connected = await udp.connect(address)
        assert connected.tls.verified == "no"
        assert connected.tls.expires_at > datetime.now(UTC)

    async def test_connections_of_other_settings_are_not_shared(
        self, udp: SipUdp, serve: Serve, room: Certificate
    ) -> None:
        """Else what one call takes unseen would pass for verified in the next."""
        address = await serve(room.server_context())
        await udp.connect(StreamAddress(*address, "tls", NAME, TlsSettings(verify=False)))
        with pytest.raises(NotConnectedError, match="unknown_ca"):
            await udp.connect(StreamAddress(*address, "tls", NAME))


class TestOwnCertificate:
    async def test_ours_is_shown_where_it_is_asked_for(
        self, udp: SipUdp, serve: Serve, authority: Authority, room: Certificate
    ) -> None:
        own = authority.issue("own", "URI:sip:centre.example")
        context = room.server_context()
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.ca_file)
        address = await serve(context)
        settings = TlsSettings(str(authority.ca_file), str(own.certificate), str(own.key))
        connected = await udp.connect(StreamAddress(*address, "tls", NAME, settings))
        await asyncio.sleep(0.1)
        assert connected.tls.verified == "authority"
        assert len(udp._streams._open) == 1

    @pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
    async def test_a_server_that_misses_it_says_so(
        self, udp: SipUdp, s_server: StartServer, authority: Authority, room: Certificate, version: str
    ) -> None:
        """With TLS 1.3 only after the handshake seems done: then the request that waits is told."""
        options = ["-Verify", "1", "-verify_return_error", "-CAfile", str(authority.ca_file), version]
        address = StreamAddress(*await s_server(room, *options), "tls", NAME, trusting(authority))
        call_id = udp.agent.options(SipUri.parse(f"sips:{NAME}"), address, udp.now())
        channel = udp.open_channel(call_id)
        udp.flush()
        event = await channel.next_event(20.0)
        assert isinstance(event, TransportFailed)
        # Up to TLS 1.2 a missing certificate is an alert like any other (RFC 5246 §7.4.6).
        assert event.reason == ("own_certificate_refused" if version == "-tls1_3" else "handshake_refused")


class TestHandshake:
    async def test_a_peer_that_is_silent_is_given_up_in_time(self, udp: SipUdp) -> None:
        async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(hold, "127.0.0.1", 0)
        streams = udp._streams = SipStreams(udp.agent, udp.local, udp.flush, times=StreamTimes(handshake=0.2))
        address = server.sockets[0].getsockname()
        assert await failure(udp, address, NAME, TlsSettings()) == "handshake_timeout"
        streams.close()
        server.close()
        await asyncio.sleep(0.01)

    async def test_a_peer_that_hangs_up_refuses(self, udp: SipUdp) -> None:
        async def leave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        server = await asyncio.start_server(leave, "127.0.0.1", 0)
        assert await failure(udp, server.sockets[0].getsockname(), NAME, TlsSettings()) == "handshake_refused"
        server.close()

    async def test_a_peer_with_old_versions_only_has_none_in_common(
        self, udp: SipUdp, s_server: StartServer, authority: Authority, room: Certificate
    ) -> None:
        address = await s_server(room, "-tls1_1", "-cipher", "ALL:@SECLEVEL=0")
        assert await failure(udp, address, NAME, trusting(authority)) == "no_common_version"

    def test_nothing_older_than_1_2_is_offered(self) -> None:
        assert tls.context_of(TlsSettings()).minimum_version is ssl.TLSVersion.TLSv1_2

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (ConnectionResetError(104, "reset"), "handshake_refused"),
            (ConnectionAbortedError("SSL handshake is taking longer than 4 seconds"), "handshake_timeout"),
            (ssl.SSLError(1, "[SSL: SOMETHING_NEW] x"), "handshake_refused"),
            (ssl.SSLCertVerificationError(1, "x"), "invalid_certificate"),
        ],
    )
    def test_every_failure_has_a_word(self, error: OSError, reason: str) -> None:
        if isinstance(error, ssl.SSLCertVerificationError):
            error.verify_code = 24  # X509_V_ERR_INVALID_CA
        assert tls.reason_of(error) == reason


class TestContexts:
    def test_one_is_made_once_and_again_when_its_file_has_changed(self, authority: Authority, tmp_path: Path) -> None:
        """A renewed certificate is used from the next connection on."""
        path = tmp_path / "ca.pem"
        path.write_bytes(authority.ca_file.read_bytes())
        settings = TlsSettings(ca_file=str(path))
        first = tls.context_of(settings)
        assert tls.context_of(TlsSettings(ca_file=str(path))) is first
        os.utime(path, (1, 1))
        assert tls.context_of(settings) is not first

    def test_a_file_that_is_none_of_its_kind_is_told(self, authority: Authority, room: Certificate) -> None:
        for settings, named in (
            (TlsSettings(ca_file="/nowhere/ca.pem"), "/nowhere/ca.pem: no certificates of authorities: No such file"),
            (TlsSettings(ca_file=str(room.key)), f"{room.key}: no certificates of authorities: "),
            (
                TlsSettings(certificate=str(room.certificate), key="/nowhere"),
                f"{room.certificate} and /nowhere: no cert",
            ),
            (TlsSettings(certificate=str(authority.ca_file), key=str(room.key)), "KEY_VALUES_MISMATCH"),
            (TlsSettings(certificate=str(room.key)), f"{room.key}: no certificate with its key: "),
        ):
            with pytest.raises(LocalFaultError) as caught:
                tls.context_of(settings)
            assert named in str(caught.value)

    @pytest.mark.parametrize(
        ("name", "shown"),
        [("room.example", "room.example"), ("192.0.2.9", ""), ("[2001:db8::9]", ""), ("1.example", "1.example")],
    )
    def test_an_address_is_no_name_to_show(self, name: str, shown: str) -> None:
        assert tls.indicated_name(name) == shown
