from __future__ import annotations

from bridge_monitor import domain
from bridge_monitor.domain import Contact, ContactScope


def test_a_contact_is_a_role_in_a_scope() -> None:
    contact = Contact(ContactScope.PROVINCE, "01", "Cán bộ kỹ thuật trực", "email", "truc@example.vn", None)
    assert contact.scope == "province"
    assert contact.registered_at is None


def test_all_names_offered_are_there() -> None:
    assert all(hasattr(domain, name) for name in domain.__all__)
    assert list(domain.__all__) == sorted(domain.__all__, key=lambda name: (name[0].islower(), name))
