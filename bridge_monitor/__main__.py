"""``python -m bridge_monitor``: the same as the console script ``bridge-monitor``."""

from bridge_monitor.cli.main import entry

if __name__ == "__main__":
    entry()
