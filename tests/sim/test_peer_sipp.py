"""sipp calls the simulated nation: a SIP implementation that isn't ours finds its rooms correct."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from bridge_monitor.domain import Inventory, Site
from bridge_monitor.sim import Fault, FaultKind, FaultPlan, Nation, NationSettings

pytestmark = pytest.mark.peer("sipp")

MEDIA_SCENARIO = """<?xml version="1.0" encoding="UTF-8"?>
<scenario name="call with media">
  <send retrans="500"><![CDATA[
INVITE sip:[service]@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPp[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: sip:sipp@[local_ip]:[local_port]
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=user1 53655765 2353687637 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="200" rrs="true"/>
  <send><![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPp[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
  <nop><action><exec rtp_stream="AUDIO,1,0"/></action></nop>
  <pause milliseconds="1500"/>
  <send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: sipp <sip:sipp@[local_ip]:[local_port]>;tag=[pid]SIPp[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
  <recv response="200"/>
</scenario>
"""


@pytest.fixture
def inventory(network: str) -> Inventory:
    return Inventory([Site("00", "", "central", endpoint=f"sip:service@{network}.0.1:5060")], ("central",))


async def call_with_sipp(room: tuple[str, int], *options: str, folder: Path) -> tuple[int, str]:
    """Run sipp against a room; return its exit code and what it wrote."""
    process = await asyncio.create_subprocess_exec(
        "sipp",
        f"{room[0]}:{room[1]}",
        *("-i", "127.0.0.1", "-mi", "127.0.0.1", "-nostdin", "-timeout", "20", "-trace_err", *options),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode("utf-8", "replace") + _errors(folder)


def _errors(folder: Path) -> str:
    return "".join(path.read_text("utf-8", "replace") for path in folder.glob("*errors.log"))


async def test_a_hundred_calls_succeed_without_an_unexpected_message(inventory: Inventory, tmp_path: Path) -> None:
    nation = Nation(inventory, settings=NationSettings(calls_per_address=40))
    await nation.start()
    site = nation.sites[0]
    try:
        options = ("-sn", "uac", "-m", "100", "-r", "100", "-d", "200")
        code, output = await call_with_sipp((site.host, site.port), *options, folder=tmp_path)
        report = nation.report()
    finally:
        await nation.stop()
    assert code == 0, output
    sip = report.sites["00"].sip
    assert (sip.invited, sip.answered, sip.acknowledged, sip.ended_by_caller) == (100, 100, 100, 100)
    assert report.dialogs_open == 0
    assert 1 < sip.most_calls_up <= 40


async def test_sipp_s_own_rtp_reaches_the_room_and_comes_back(inventory: Inventory, tmp_path: Path) -> None:
    audio = tmp_path / "silence.ul"
    audio.write_bytes(b"\xff" * 8000)  # 1 s of PCMU
    scenario = tmp_path / "media.xml"
    scenario.write_text(MEDIA_SCENARIO.replace("AUDIO", str(audio)), encoding="utf-8")
    nation = Nation(inventory)
    await nation.start()
    site = nation.sites[0]
    try:
        options = ("-sf", str(scenario), "-m", "3", "-r", "3")
        code, output = await call_with_sipp((site.host, site.port), *options, folder=tmp_path)
        truth = nation.report().sites["00"]
    finally:
        await nation.stop()
    assert code == 0, output
    # sipp plays a second in 50 packets, give or take where it starts and stops.
    assert 3 * 48 <= truth.received <= 3 * 52
    assert (truth.sent, truth.unreadable, truth.dialogs_open) == (truth.received, 0, 0)


@pytest.mark.parametrize(
    ("kind", "status"), [(FaultKind.BUSY, "486"), (FaultKind.DECLINED, "603"), (FaultKind.CHALLENGES, "401")]
)
async def test_a_refusal_is_what_sipp_understands(
    inventory: Inventory, tmp_path: Path, kind: FaultKind, status: str
) -> None:
    nation = Nation(inventory, FaultPlan((Fault(kind, sites=("00",)),)))
    await nation.start()
    site = nation.sites[0]
    try:
        code, output = await call_with_sipp((site.host, site.port), "-sn", "uac", "-m", "1", folder=tmp_path)
    finally:
        await nation.stop()
    assert code == 1
    assert re.search(rf"SIP/2.0 {status} ", output)


async def test_a_dead_room_is_unreachable_for_sipp(inventory: Inventory, tmp_path: Path) -> None:
    nation = Nation(inventory, FaultPlan((Fault(FaultKind.DEAD, sites=("00",)),)))
    await nation.start()
    site = nation.sites[0]
    try:
        options = ("-sn", "uac", "-m", "1", "-max_retrans", "1")
        code, _ = await call_with_sipp((site.host, site.port), *options, folder=tmp_path)
        invited = nation.report().sites["00"].sip.invited
    finally:
        await nation.stop()
    assert (code, invited) == (1, 0)
