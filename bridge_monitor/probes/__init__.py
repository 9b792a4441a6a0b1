"""Doing calls: how a site is called, one call from name to BYE, and the runner. Level 4."""

from bridge_monitor.probes.profile import CALLABLE_SCHEMES, Profile, Route, TlsBook

__all__ = ["CALLABLE_SCHEMES", "Profile", "Route", "TlsBook"]
