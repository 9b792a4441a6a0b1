"""What a call over TCP or TLS can end with, before SIP has a word: the part of `domain.situations` for connections.

Owns the table, which `docs/outcomes.md` explains; must not decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bridge_monitor.domain.results import Outcome
from bridge_monitor.domain.situation import Owner, Situation, Text

CONNECTIONS: Final[Mapping[tuple[Outcome, str | None], Situation]] = MappingProxyType(
    {
        (Outcome.UNREACHABLE, "connection_refused"): Situation(
            Owner.ROOM,
            Text("điểm cầu từ chối kết nối TCP", "the TCP connection was refused"),
            Text(
                "khởi động thiết bị đầu cuối; kiểm tra địa chỉ, cổng và giao thức (TCP, TLS) của nó",
                "start the endpoint; check its address, port and transport (TCP, TLS)",
            ),
        ),
        (Outcome.UNREACHABLE, "no_route_to_host"): Situation(
            Owner.CARRIER,
            Text("không có đường đến điểm cầu để kết nối TCP", "there is no way to it for a TCP connection"),
            Text(
                "yêu cầu doanh nghiệp viễn thông kiểm tra tuyến; kiểm tra địa chỉ và tường lửa",
                "ask the carrier for the path; check the address and the firewall",
            ),
        ),
        (Outcome.UNREACHABLE, "connection_lost"): Situation(
            Owner.ROOM,
            Text("kết nối TCP bị ngắt trước khi có trả lời", "the connection broke before the answer"),
            Text(
                "xem nhật ký của thiết bị hoặc cầu (MCU): có khởi động lại không; tường lửa có ngắt kết nối không",
                "look into the log of endpoint or bridge for a restart; does a firewall cut connections?",
            ),
        ),
        (Outcome.TIMEOUT, "connect_timeout"): Situation(
            Owner.CARRIER,
            Text("không có trả lời nào cho yêu cầu kết nối TCP", "nobody answered the attempt to connect"),
            Text(
                "thiết bị đã bật và cắm dây chưa? rồi xem đường truyền, hoặc tường lửa chặn TCP",
                "is the equipment on and plugged in? then the line, or a firewall that drops TCP",
            ),
        ),
        (Outcome.TLS_FAILED, None): Situation(
            Owner.PROVINCE,
            Text("không lập được kênh TLS, hoặc chứng thư không hợp lệ", "TLS failed, or its certificate is not valid"),
            Text("gia hạn chứng thư; kiểm tra tên và ngày", "renew the certificate; check names and dates"),
        ),
        (Outcome.TLS_FAILED, "expired"): Situation(
            Owner.PROVINCE,
            Text("chứng thư TLS đã hết hạn", "its certificate has expired"),
            Text("gia hạn chứng thư", "renew the certificate"),
        ),
        (Outcome.TLS_FAILED, "not_yet_valid"): Situation(
            Owner.PROVINCE,
            Text("chứng thư TLS chưa đến ngày có hiệu lực", "its certificate is not valid yet"),
            Text(
                "kiểm tra ngày của chứng thư, và đồng hồ của máy đã cấp chứng thư",
                "check the dates of the certificate, and the clock of whatever issued it",
            ),
        ),
        (Outcome.TLS_FAILED, "unknown_ca"): Situation(
            Owner.PROVINCE,
            Text(
                "không biết cơ quan cấp chứng thư TLS này, hoặc chứng thư tự ký",
                "nobody whom we trust has issued its certificate, or it is self-signed",
            ),
            Text(
                "gửi chứng thư của cơ quan cấp (cho tls.ca_file), hoặc dấu vân tay của chứng thư (cho tls.pins)",
                "give us its authority's certificate for tls.ca_file, or the certificate's fingerprint for tls.pins",
            ),
        ),
        (Outcome.TLS_FAILED, "wrong_name"): Situation(
            Owner.PROVINCE,
            Text("chứng thư TLS mang tên khác với tên được gọi", "its certificate names another host than was called"),
            Text(
                "cấp chứng thư mang đúng tên trong danh sách điểm cầu, hoặc sửa tên trong danh sách",
                "issue one that has the host of the site list, or mend the site list",
            ),
        ),
        (Outcome.TLS_FAILED, "pin_mismatch"): Situation(
            Owner.PROVINCE,
            Text("chứng thư TLS không phải chứng thư đã ghim", "its certificate is not the pinned one"),
            Text(
                "hỏi xem chứng thư có vừa được thay không; nếu có, ghi dấu vân tay mới vào tls.pins",
                "ask whether it was replaced; if so, put the new fingerprint into tls.pins",
            ),
        ),
        (Outcome.TLS_FAILED, "invalid_certificate"): Situation(
            Owner.PROVINCE,
            Text("chứng thư TLS không dùng được", "its certificate can't be used"),
            Text("cấp chứng thư mới", "issue a new certificate"),
        ),
        (Outcome.TLS_FAILED, "own_certificate_refused"): Situation(
            Owner.PROVINCE,
            Text(
                "đầu bên kia đòi chứng thư của ta, hoặc không nhận chứng thư của ta",
                "it wants a certificate of ours, or doesn't take the one we have",
            ),
            Text(
                "cấp cho ta chứng thư được chấp nhận, để ghi vào tls.certificate và tls.key",
                "give us one that it accepts, for tls.certificate and tls.key",
            ),
        ),
        (Outcome.TLS_FAILED, "no_common_version"): Situation(
            Owner.ROOM,
            Text("đầu bên kia chỉ có phiên bản TLS cũ hơn 1.2", "it has only versions of TLS older than 1.2"),
            Text("cập nhật phần mềm của thiết bị", "update the equipment's software"),
        ),
        (Outcome.TLS_FAILED, "handshake_refused"): Situation(
            Owner.PROVINCE,
            Text("đầu bên kia ngắt khi bắt tay TLS", "it broke off the TLS handshake"),
            Text(
                "xem nhật ký của thiết bị hoặc cầu (MCU): bộ mã, chứng thư, danh sách cho phép",
                "look into the log of endpoint or bridge: ciphers, certificates, access lists",
            ),
        ),
        (Outcome.TLS_FAILED, "handshake_timeout"): Situation(
            Owner.ROOM,
            Text("đầu bên kia nhận kết nối nhưng không bắt tay TLS", "it takes the connection and says nothing in TLS"),
            Text(
                "kiểm tra cổng có đúng là cổng TLS không; xem tải của thiết bị",
                "check that the port is one for TLS; look at the equipment's load",
            ),
        ),
        (Outcome.TLS_FAILED, "not_tls"): Situation(
            Owner.PROVINCE,
            Text("cổng này không dùng TLS", "that port doesn't speak TLS"),
            Text(
                "sửa cổng hoặc giao thức trong danh sách điểm cầu (TLS thường ở cổng 5061)",
                "mend port or transport in the site list (TLS is usually at port 5061)",
            ),
        ),
    }
)
