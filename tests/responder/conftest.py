"""What the responder's tests share: a hand-written caller, and addresses that no other test has."""

from tests.sim.conftest import caller, kernel_stamps, network, new_caller

__all__ = ["caller", "kernel_stamps", "network", "new_caller"]
