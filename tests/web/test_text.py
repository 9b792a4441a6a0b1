"""The exposition syntax, read back by the reference parser."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from bridge_monitor.web.text import Family, label_pairs

# The format ends a line at \n only; surrogates are no text.
LABEL_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


class TestFamily:
    def test_a_sample_without_labels_has_no_braces(self) -> None:
        assert Family("a_seconds", "gauge", "A.").sample("", 1.5) == "a_seconds 1.5\n"

    def test_a_sample_with_labels_and_suffix(self) -> None:
        assert Family("a", "histogram", "A.").sample('le="1.0"', 3, suffix="_bucket") == 'a_bucket{le="1.0"} 3\n'

    def test_help_is_escaped_to_one_line(self) -> None:
        header = Family("a", "gauge", "back\\slash\nand a second line").header
        assert header == "# HELP a back\\\\slash\\nand a second line\n# TYPE a gauge\n"


class TestLabels:
    @given(LABEL_TEXT, st.floats(allow_nan=False, allow_infinity=False))
    def test_any_text_and_any_number_come_back_from_the_reference_parser(self, value: str, number: float) -> None:
        family = Family("a", "gauge", "A.")
        text = family.header + family.sample(label_pairs({"name": value, "other": "x"}), number)
        (parsed,) = text_string_to_metric_families(text)
        (sample,) = parsed.samples
        assert sample.labels == {"name": value, "other": "x"}
        assert sample.value == number
