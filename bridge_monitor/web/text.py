"""The Prometheus text exposition format 0.0.4: headers, labels, values.

Owns the syntax; must not know what is exported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]

_LABEL_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
_HELP_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n"})


@dataclass(frozen=True, slots=True)
class Family:
    """A metric family: its name, kind and help."""

    name: str
    kind: Kind
    help: str

    @property
    def header(self) -> str:
        """The HELP and TYPE lines."""
        return f"# HELP {self.name} {self.help.translate(_HELP_ESCAPES)}\n# TYPE {self.name} {self.kind}\n"

    def sample(self, labels: str, value: float, *, suffix: str = "") -> str:
        """Return one line; ``labels`` come from `label_pairs` and may be empty."""
        return f"{self.name}{suffix}{{{labels}}} {value}\n" if labels else f"{self.name}{suffix} {value}\n"


def label_pairs(labels: Mapping[str, str]) -> str:
    """Return ``name="value"`` pairs, escaped, without the braces."""
    return ",".join(f'{name}="{value.translate(_LABEL_ESCAPES)}"' for name, value in labels.items())
