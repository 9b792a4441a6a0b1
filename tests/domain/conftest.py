"""What it takes for a text to be there in both languages."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bridge_monitor.domain.situations import Text

VIETNAMESE = set("ăâđêôơưàáảãạằắẳẵặầấẩẫậèéẻẽẹềếểễệìíỉĩịòóỏõọồốổỗộờớởỡợùúủũụừứửữựỳýỷỹỵ")


def fault_of_text(text: Text) -> str | None:
    """Return what is wrong with a text: missing in a language, or one language in the other's place."""
    if not text.vi.strip() == text.vi != "" or not text.en.strip() == text.en != "":
        return "empty or with blanks around it"
    if not VIETNAMESE & set(text.vi.lower()):
        return f"no Vietnamese: {text.vi}"
    return f"no English: {text.en}" if VIETNAMESE & set(text.en.lower()) else None


@pytest.fixture(scope="session")
def fault_of() -> Callable[[Text], str | None]:
    """Return the check of a text."""
    return fault_of_text
