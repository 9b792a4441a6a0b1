"""bridge_monitor: which rooms of a nationwide video conference will be seen and heard, and who mends the others."""

__version__ = "0.1.0"
