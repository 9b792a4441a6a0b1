from __future__ import annotations

import uuid

from hypothesis import given
from hypothesis import strategies as st

from bridge_monitor.domain import time_ordered_id


class TestRfc9562Section5_7:  # noqa: N801 (named after the section)
    @given(st.floats(0, 2**47 / 1000), st.binary(min_size=10, max_size=12))
    def test_an_id_is_a_uuid_of_version_7(self, seconds: float, randomness: bytes) -> None:
        identifier = uuid.UUID(time_ordered_id(seconds, randomness))
        assert identifier.version == 7
        assert identifier.variant == uuid.RFC_4122
        assert identifier.int >> 80 == int(seconds * 1000)

    def test_the_example_of_appendix_a_6(self) -> None:
        """RFC 9562 A.6: 2022-02-22 19:22:22 GMT, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F."""
        rand = (0x0CC3 << 64 | 0x18C4DC0C0C07398F).to_bytes(10, "big")
        assert time_ordered_id(0x017F22E279B0 / 1000, rand) == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"

    @given(st.integers(0, 2**40), st.integers(1, 2**40), st.binary(min_size=20, max_size=20))
    def test_ids_sort_by_time(self, milliseconds: int, later: int, randomness: bytes) -> None:
        first = time_ordered_id(milliseconds / 1000, randomness[:10])
        second = time_ordered_id((milliseconds + later + 1) / 1000, randomness[10:])
        assert first < second
