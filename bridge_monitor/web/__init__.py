"""What is shown over HTTP: the Prometheus exporter, single probes, evidence, liveness and reload. Level 6."""

from bridge_monitor.web.aggregates import Aggregates
from bridge_monitor.web.app import AppServices, create_app
from bridge_monitor.web.exporter import Exporter
from bridge_monitor.web.health import OwnHealth
from bridge_monitor.web.server import Server, serve

__all__ = ["Aggregates", "AppServices", "Exporter", "OwnHealth", "Server", "create_app", "serve"]
