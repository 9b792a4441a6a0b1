"""The simulated nation: every room of an inventory answers on loopback, healthy or with planned faults. Level 4.

Owns rooms that can be called, what goes wrong with them and the truth about it; must not know probes, schedule or
diagnosis, which are tested against it.
"""

from bridge_monitor.sim.assignment import FaultSpan, SimulatedSite, assign, simulated_sites
from bridge_monitor.sim.faults import (
    Clock,
    CodecStage,
    Direction,
    Fault,
    FaultKind,
    FaultPlan,
    expected,
    expected_reason,
    is_certain,
)
from bridge_monitor.sim.nation import Nation, NationSettings
from bridge_monitor.sim.plan_file import load_fault_plan
from bridge_monitor.sim.reflector import ReflectorSettings
from bridge_monitor.sim.report import NationReport, OwnFaults, SiteTruth
from bridge_monitor.sim.rooms import SiteRecord

__all__ = [
    "Clock",
    "CodecStage",
    "Direction",
    "Fault",
    "FaultKind",
    "FaultPlan",
    "FaultSpan",
    "Nation",
    "NationReport",
    "NationSettings",
    "OwnFaults",
    "ReflectorSettings",
    "SimulatedSite",
    "SiteRecord",
    "SiteTruth",
    "assign",
    "expected",
    "expected_reason",
    "is_certain",
    "load_fault_plan",
    "simulated_sites",
]
