"""`net.engine` as a package: what its process loads."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bridge_monitor.net import engine


def test_the_engine_s_process_loads_neither_asyncio_nor_the_rest_of_the_program() -> None:
    """Each of them would cost memory and start-up time in a process that has no use for it."""
    code = "import sys, bridge_monitor.net.engine.__main__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "bridge_monitor.net.engine.loop" in loaded
    assert "asyncio" not in loaded
    rooms = {name.split(".")[1] for name in loaded if name.startswith("bridge_monitor.")}
    assert rooms == {"errors", "net", "rtp"}


def test_the_client_is_loaded_when_asked_for() -> None:
    assert engine.MediaEngine.__name__ == "MediaEngine"
    with pytest.raises(AttributeError, match="no attribute 'MediaMotor'"):
        engine.MediaMotor  # noqa: B018 - the access is what is tested
