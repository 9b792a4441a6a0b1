"""A place beyond our uplink: two network namespaces and a cable between them, which can be cut."""

from __future__ import annotations

import itertools
import os
import subprocess
from typing import Final

HERE: Final = "10.79.0.1"
BEYOND: Final = "10.79.0.2"
_numbers = itertools.count()


def run(*command: str, text: str | None = None) -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


class Uplink:
    """Two namespaces and what lies between them."""

    def __init__(self) -> None:
        mark = f"{os.getpid():x}u{next(_numbers):x}"
        self.here, self.beyond = f"bm-h-{mark}", f"bm-b-{mark}"
        self.made: list[str] = []

    def lay(self) -> None:
        for name in (self.here, self.beyond):
            run("ip", "netns", "add", name)
            self.made.append(name)
        run("ip", "-n", self.here, "link", "add", "up0", "type", "veth", "peer", "name", "down0")
        run("ip", "-n", self.here, "link", "set", "down0", "netns", self.beyond)
        for name, interface, host in ((self.here, "up0", HERE), (self.beyond, "down0", BEYOND)):
            run("ip", "-n", name, "addr", "add", f"{host}/24", "dev", interface)
            run("ip", "-n", name, "link", "set", interface, "up")
            run("ip", "-n", name, "link", "set", "lo", "up")

    def remove(self) -> None:
        for name in self.made:
            subprocess.run(["ip", "netns", "delete", name], check=False)

    def cut(self) -> None:
        """Drop whatever comes out of the cable, without a word."""
        rules = """table inet cut {
            chain arriving {
                type filter hook prerouting priority -300
                meta l4proto udp drop
            }
        }"""
        run("ip", "netns", "exec", self.beyond, "nft", "-f", "-", text=rules)

    def mend(self) -> None:
        run("ip", "netns", "exec", self.beyond, "nft", "delete", "table", "inet", "cut")
