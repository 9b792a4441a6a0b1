"""What becomes of a call whose host has a name: what the DNS may say of it, and what may become of our own resolver.

Owns these rows of `domain.situations`; must not decide: outcomes and their reasons are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bridge_monitor.domain.results import Outcome
from bridge_monitor.domain.situation import Owner, Situation, Text

_ASK_BY_HAND: Final = Text(
    "kiểm tra máy chủ DNS của máy này: dns.servers hoặc /etc/resolv.conf",
    "look at this machine's DNS servers: dns.servers, else /etc/resolv.conf",
)

NAME_SITUATIONS: Final[Mapping[tuple[Outcome, str | None], Situation]] = MappingProxyType(
    {
        (Outcome.NAME_NOT_FOUND, None): Situation(
            Owner.PROVINCE,
            Text("tên miền của điểm cầu không có địa chỉ", "the name has no address"),
            Text("sửa bản ghi DNS hoặc danh sách điểm cầu", "mend the DNS record or the site list"),
        ),
        (Outcome.NAME_NOT_FOUND, "no_such_name"): Situation(
            Owner.PROVINCE,
            Text("tên miền của điểm cầu không tồn tại", "the name does not exist"),
            Text(
                "sửa tên trong danh sách điểm cầu, hoặc thêm vào DNS", "mend it in the site list, or add it to the DNS"
            ),
        ),
        (Outcome.NAME_NOT_FOUND, "server_failure"): Situation(
            Owner.PROVINCE,
            Text("máy chủ DNS của tên miền này không trả lời được", "the DNS servers of this name fail"),
            Text(
                "báo đơn vị quản lý tên miền: máy chủ DNS ngừng, hoặc chữ ký DNSSEC sai",
                "tell whoever keeps its zone: servers down, or signatures (DNSSEC) wrong",
            ),
        ),
        (Outcome.NAME_NOT_FOUND, "service_not_offered"): Situation(
            Owner.PROVINCE,
            Text("bản ghi SRV nói ở tên miền này không có SIP", "its SRV record says that there is no SIP"),
            Text("sửa bản ghi SRV hoặc danh sách điểm cầu", "mend the SRV record or the site list"),
        ),
        (Outcome.NAME_NOT_FOUND, "transport_not_offered"): Situation(
            Owner.PROVINCE,
            Text(
                "bản ghi NAPTR chỉ nêu kiểu truyền mà phiên bản này không gọi được",
                "its NAPTR records name only transports that this version can't call",
            ),
            Text(
                "thêm bản ghi cho SIP qua UDP, TCP hoặc TLS (SIP+D2U, SIP+D2T, SIPS+D2T)",
                "add a record for SIP over UDP, TCP or TLS (SIP+D2U, SIP+D2T, SIPS+D2T)",
            ),
        ),
        (Outcome.LOCAL_FAULT, "resolver_timeout"): Situation(
            Owner.OURS,
            Text("máy chủ DNS của ta không trả lời", "our own DNS servers don't answer"),
            _ASK_BY_HAND,
        ),
        (Outcome.LOCAL_FAULT, "resolver_unreachable"): Situation(
            Owner.OURS,
            Text("không tới được máy chủ DNS của ta", "our own DNS servers can't be reached"),
            _ASK_BY_HAND,
        ),
        (Outcome.LOCAL_FAULT, "resolver_refused"): Situation(
            Owner.OURS,
            Text("máy chủ DNS của ta từ chối tra tên", "our own DNS servers refuse to look up names"),
            _ASK_BY_HAND,
        ),
        (Outcome.LOCAL_FAULT, "resolver_failed"): Situation(
            Owner.OURS,
            Text("máy chủ DNS của ta không tra được tên nào", "our own DNS servers find out about no name"),
            Text(
                "kiểm tra đường ra của máy chủ DNS; nếu tra tay được tên khác, lỗi ở tên này",
                "look at the DNS servers' own line; if they find other names by hand, it is this one's fault",
            ),
        ),
    }
)
