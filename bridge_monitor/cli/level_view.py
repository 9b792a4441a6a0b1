"""How loud a room is, as a person reads it: a bar, the level, and what it means.

Owns the words and the drawing; must not judge: what is worth an advisory is `probes.advice`'s.
"""

from __future__ import annotations

from typing import Final

from rich.text import Text

from bridge_monitor.domain import MediaResult
from bridge_monitor.domain.situations import Text as Words
from bridge_monitor.domain.wording import Lang
from bridge_monitor.probes.advice import SILENT_BELOW_DBOV
from bridge_monitor.rtp.level import ACTIVE_ABOVE_DBOV, DIGITAL_SILENCE_DBOV

_CELLS: Final = 20
_BOTTOM_DBOV: Final = -80.0
_FAINT_BELOW_DBOV: Final = -45.0
_CLIPPING_ABOVE_DBOV: Final = -9.0

_TITLE: Final = Words("Âm thanh từ điểm cầu", "Sound from the room")
_ACTIVE: Final = Words("trên {limit} dBov trong {share} thời gian", "above {limit} dBov for {share} of the time")
LEVELS: Final = (
    (DIGITAL_SILENCE_DBOV, Words("im lặng tuyệt đối (tín hiệu số bằng 0)", "digital silence"), "yellow"),
    (SILENT_BELOW_DBOV, Words("gần như im lặng", "next to silence"), "yellow"),
    (ACTIVE_ABOVE_DBOV, Words("chỉ có tiếng ồn nền", "background noise alone"), "cyan"),
    (_FAINT_BELOW_DBOV, Words("tiếng nhỏ", "faint sound"), "cyan"),
    (_CLIPPING_ABOVE_DBOV, Words("có tiếng rõ", "clear sound"), "green"),
    (0.0, Words("rất to, có thể vỡ tiếng", "very loud, perhaps clipped"), "red"),
)
"""What a level up to each bound means, and its colour."""


def level_line(stream: MediaResult, lang: Lang) -> Text | None:
    """Return the stream's level as one line; None where it wasn't measured: not of an echo, which is our own sound."""
    level = stream.audio_level_dbov
    if level is None:
        return None
    means, style = next((words, style) for bound, words, style in LEVELS if level <= bound)
    filled = round(min(1.0, max(0.0, 1 - level / _BOTTOM_DBOV)) * _CELLS)
    line = Text.assemble(
        f"{_TITLE.of(lang)}  ",
        ("█" * filled, style),
        ("░" * (_CELLS - filled), "dim"),
        (f" {level:.1f} dBov".replace("-", "−"), "bold"),
        (f"  {means.of(lang)}", style),
    )
    if stream.audio_active_ratio:
        limit, share = f"−{-ACTIVE_ABOVE_DBOV:.0f}", f"{stream.audio_active_ratio * 100:.0f} %"
        line.append(f", {_ACTIVE.of(lang).format(limit=limit, share=share)}", style="dim")
    return line
