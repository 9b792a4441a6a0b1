"""Real peers for the interop tests, each ended by its process id, its logs shown if the test fails."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.interop.rigs import (
    BARESIP_CONTROL_PORT,
    SCENARIOS,
    TONE_AMPLITUDE,
    Line,
    PeerProcess,
    Room,
    SoftClient,
    StartRoom,
    description,
    is_bound,
    open_line,
    write_tone,
)

_HOSTS: Final = itertools.count(1)


@pytest.fixture
def host() -> str:
    """Return a loopback address that no other test of this run uses, nor, most likely, another run at the same time."""
    number = next(_HOSTS)
    return f"127.{20 + os.getpid() % 20}.{os.getpid() // 20 % 200 + number // 250}.{number % 250 + 1}"


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    """Return our side of the calls."""
    opened, close = await open_line()
    try:
        yield opened
    finally:
        await close()


@pytest.fixture
def new_process(tmp_path: Path) -> Iterator[Callable[..., PeerProcess]]:
    """Return ``new_process(name, command)``; what it starts is ended, and its logs are printed."""
    made: list[PeerProcess] = []

    def make(name: str, command: Sequence[str]) -> PeerProcess:
        made.append(PeerProcess(command, tmp_path / f"{name}-{len(made)}"))
        return made[-1]

    yield make
    for process in made:
        process.stop()
        print(process.logs())  # noqa: T201 - pytest shows it if the test failed


@pytest.fixture
def start_room(new_process: Callable[..., PeerProcess], free_udp_port: Callable[[str], int], host: str) -> StartRoom:
    """Return what starts rooms on this test's address."""

    async def start(
        scenario: str, *options: str, calls: int = 1, port: int | None = None, transport: str = "udp", **keys: str
    ) -> Room:
        sip_port = port or free_udp_port(host)
        rtp_port = _free_even_port(free_udp_port, host)
        command = ["sipp", "-sf", "scenario.xml", "-i", host, "-p", str(sip_port), "-mi", host, "-mp", str(rtp_port)]
        command += ["-nostdin", "-m", str(calls), "-timeout", "40s", "-trace_msg", "-message_file", "messages.log"]
        command += ["-trace_err", "-error_file", "errors.log"]
        command += ["-trace_stat", "-stf", "statistics.csv", "-fd", "1", *options]
        if transport == "tcp":
            command += ["-t", "t1"]
        process = new_process(f"sipp-{scenario}", command)
        text = (SCENARIOS / f"{scenario}.xml").read_text("utf-8")
        for name, value in {"sdp": description("{host}", "{port}", "a=rtpmap:0 PCMU/8000"), **keys}.items():
            text = text.replace(f"[{name}]", value.replace("{host}", host).replace("{port}", str(rtp_port)))
        (process.folder / "scenario.xml").write_text(text, "utf-8")
        await process.started(lambda: is_bound(host, sip_port, transport))
        return Room(process, host, sip_port, rtp_port, transport)

    return start


def _free_even_port(free_udp_port: Callable[[str], int], host: str) -> int:
    """Return an even port: sipp echoes at it and at the second one after it, and ends if it can't have that one."""
    while (port := free_udp_port(host)) % 2 or port > 65000 or is_bound(host, port + 2):
        pass
    return port


_BARESIP: Final = """
poll_method epoll
rtp_stats yes
statmode_default off
sip_listen {host}:{port}
audio_source aufile,{folder}/tone.wav
audio_player aufile,{folder}/heard.wav
audio_alert aufile,{folder}/heard.wav
module_path {modules}
module g711.so
module aufile.so
module_app menu.so
module_tmp account.so
"""
_BARESIP_VIDEO: Final = """
video_source fakevideo,nil
video_display fakevideo,nil
video_size 640x360
video_fps 25
video_bitrate 500000
ctrl_tcp_listen {host}:{control_port}
module avcodec.so
module fakevideo.so
module snapshot.so
module_app ctrl_tcp.so
"""


@pytest.fixture
def start_baresip(
    new_process: Callable[..., PeerProcess], free_udp_port: Callable[[str], int], host: str
) -> Callable[..., Awaitable[SoftClient]]:
    """Return what starts baresip, with options of its own: it answers at once, and plays a tone of 440 Hz.

    With ``video`` it sends H.264 of its own too, and takes commands by TCP.
    """
    folders = (Path("/usr/lib/baresip/modules"), *Path("/usr/lib").glob("*/baresip/modules"))
    modules = next((folder for folder in folders if folder.is_dir()), "baresip's modules are not where Debian has them")

    async def start(*options: str, amplitude: int = TONE_AMPLITUDE, video: bool = False) -> SoftClient:
        port = free_udp_port(host)
        process = new_process("baresip", ["baresip", "-f", ".", *options])
        text = _BARESIP.format(host=host, port=port, folder=process.folder, modules=modules)
        if video:
            text += _BARESIP_VIDEO.format(host=host, control_port=BARESIP_CONTROL_PORT)
        (process.folder / "config").write_text(text, "utf-8")
        (process.folder / "accounts").write_text(f"<sip:room@{host}>;regint=0;answermode=auto\n", "utf-8")
        write_tone(process.folder / "tone.wav", amplitude=amplitude)
        await process.started(lambda: "baresip is ready" in process.logs() and is_bound(host, port))
        return SoftClient(process, f"sip:room@{host}:{port}")

    return start


@pytest.fixture
def start_linphone(
    new_process: Callable[..., PeerProcess], free_udp_port: Callable[[str], int], host: str
) -> Callable[[], Awaitable[SoftClient]]:
    """Return what starts linphone: it answers at once, and plays a tone of 440 Hz."""

    async def start() -> SoftClient:
        port = free_udp_port(host)
        uri = f"sip:{host}:{port}"
        command = ["lp-auto-answer", "--listening-uri", uri, "--media-file", "tone.wav"]
        process = new_process("linphone", command)
        process.environment["HOME"] = str(process.folder)
        (process.folder / ".local/share/linphone").mkdir(parents=True)
        write_tone(process.folder / "tone.wav")
        await process.started(lambda: is_bound(host, port))
        return SoftClient(process, f"sip:room@{host}:{port}")

    return start
