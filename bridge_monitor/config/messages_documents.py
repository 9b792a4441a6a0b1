"""Messages about ``event.yaml`` and ``bridge_monitor.yaml``.

Owns wording only; keys and facts are those of `config.problems.Problems.add`.
"""

from __future__ import annotations

from typing import Final

from bridge_monitor.config.message import Message

_YAML: Final = {
    "yaml_syntax": Message(
        "column {column}: not YAML: {error}",
        "check the indentation, colons and quotes there and in the line above",
        "cột {column}: không phải YAML: {error}",
        "kiểm tra thụt dòng, dấu hai chấm và dấu ngoặc ở dòng đó và dòng trên",
    ),
    "duplicate_key": Message(
        "key '{path}' stands already in line {first}",
        "remove one of the two",
        "khóa '{path}' đã có ở dòng {first}",
        "bỏ một trong hai",
    ),
    "bad_key": Message(
        "a key must be plain text",
        "write it as key: value",
        "khóa phải là một chuỗi đơn",
        "ghi dạng khóa: giá trị",
    ),
    "endless_alias": Message(
        "alias '{path}' holds itself",
        "write the values out",
        "bí danh '{path}' chứa chính nó",
        "viết rõ các giá trị",
    ),
    "unknown_key": Message(
        "unknown key '{path}'",
        "remove it; the keys here are: {known}",
        "không có khóa '{path}'",
        "bỏ khóa này; các khóa ở đây: {known}",
    ),
    "missing_key": Message(
        "key '{path}' is missing",
        "add it",
        "thiếu khóa '{path}'",
        "thêm khóa này",
    ),
    "empty_value": Message(
        "'{path}' has no value",
        "write one after the colon, or remove the key",
        "'{path}' chưa có giá trị",
        "ghi giá trị sau dấu hai chấm, hoặc bỏ khóa này",
    ),
    "must_be_mapping": Message(
        "'{path}' must hold keys",
        "write indented key: value lines below it",
        "'{path}' phải chứa các khóa",
        "ghi các dòng khóa: giá trị thụt vào bên dưới",
    ),
    "must_be_list": Message(
        "'{path}' must be a list",
        "write one entry a line, each beginning with '- '",
        "'{path}' phải là danh sách",
        "ghi mỗi mục một dòng, bắt đầu bằng '- '",
    ),
    "must_be_text": Message(
        "'{path}' must be a single value",
        "write it on one line after the colon",
        "'{path}' phải là một giá trị đơn",
        "ghi giá trị trên một dòng sau dấu hai chấm",
    ),
    "bad_value": Message(
        "'{path}' is not valid: {error}",
        "see the comments in configs/minimal",
        "'{path}' không hợp lệ: {error}",
        "xem chú thích trong configs/minimal",
    ),
}

_VALUES: Final = {
    "bad_integer": Message(
        "'{path}' is '{value}', no whole number",
        "write digits only, such as 200",
        "'{path}' là '{value}', không phải số nguyên",
        "chỉ ghi chữ số, ví dụ 200",
    ),
    "bad_number": Message(
        "'{path}' is '{value}', no number",
        "write one such as 20 or 2.5",
        "'{path}' là '{value}', không phải số",
        "ghi số, ví dụ 20 hoặc 2.5",
    ),
    "bad_bool": Message(
        "'{path}' is '{value}', neither true nor false",
        "write true or false",
        "'{path}' là '{value}', không phải true hay false",
        "ghi true hoặc false",
    ),
    "out_of_range": Message(
        "'{path}' is '{value}'; it must be {relation} {bound}",
        "write a value {relation} {bound}",
        "'{path}' là '{value}'; phải {relation} {bound}",
        "ghi giá trị {relation} {bound}",
    ),
    "bad_choice": Message(
        "'{path}' is '{value}'",
        "write one of: {known}",
        "'{path}' là '{value}', không hợp lệ",
        "ghi một trong: {known}",
    ),
    "bad_duration": Message(
        "'{path}' is '{value}', no duration",
        "write a number with its unit: 500 ms, 90 s, 5 min, 1 h, 1 h 30 min",
        "'{path}' là '{value}', không phải khoảng thời gian",
        "ghi số kèm đơn vị: 500 ms, 90 s, 5 min (phút), 1 h (giờ), 1 h 30 min",
    ),
    "bad_bandwidth": Message(
        "'{path}' is '{value}', no bandwidth",
        "write a number with its unit: 80 kbit/s, 20 Mbit/s, 1 Gbit/s",
        "'{path}' là '{value}', không phải băng thông",
        "ghi số kèm đơn vị: 80 kbit/s, 20 Mbit/s, 1 Gbit/s",
    ),
    "bad_ratio": Message(
        "'{path}' is '{value}', no part of a whole",
        "write it like 1 % or 0.01; at most 100 %",
        "'{path}' là '{value}', không phải tỷ lệ",
        "ghi như 1 % hoặc 0.01; tối đa 100 %",
    ),
    "bad_dscp": Message(
        "'{path}' is '{value}', no DSCP",
        "write a name (EF, AF41, CS3, DF) or a number from 0 to 63",
        "'{path}' là '{value}', không phải DSCP",
        "ghi tên (EF, AF41, CS3, DF) hoặc số từ 0 đến 63",
    ),
    "bad_listen": Message(
        "'{path}' is '{value}', no address with port",
        "write it like 127.0.0.1:9817 or [::1]:9817",
        "'{path}' là '{value}', không phải địa chỉ kèm cổng",
        "ghi như 127.0.0.1:9817 hoặc [::1]:9817",
    ),
    "bad_ports": Message(
        "'{path}' is '{value}', no range of ports",
        "write the first and last port like 20000-29999; at least two, none below 1024",
        "'{path}' là '{value}', không phải dải cổng",
        "ghi cổng đầu và cuối như 20000-29999; ít nhất hai cổng, không dưới 1024",
    ),
    "bad_source": Message(
        "'{path}' is '{value}', no IPv4 address",
        "write an address of this machine, such as 192.0.2.1",
        "'{path}' là '{value}', không phải địa chỉ IPv4",
        "ghi một địa chỉ của máy này, ví dụ 192.0.2.1",
    ),
    "bad_dns_server": Message(
        "'{path}' is '{value}', no address of a DNS server",
        "write an IP address, with a port if it isn't 53: 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353",
        "'{path}' là '{value}', không phải địa chỉ máy chủ DNS",
        "ghi địa chỉ IP, kèm cổng nếu khác 53: 192.0.2.53, 192.0.2.53:5353 hoặc [2001:db8::53]:5353",
    ),
    "bad_proxy": Message(
        "'{path}' is '{value}', no proxy that can be used in this version",
        "write a SIP URI over UDP, TCP or TLS and IPv4, such as sip:192.0.2.1:5060",
        "'{path}' là '{value}', không phải proxy dùng được trong phiên bản này",
        "ghi SIP URI qua UDP, TCP hoặc TLS và IPv4, ví dụ sip:192.0.2.1:5060",
    ),
    "bad_responder": Message(
        "'{path}' is '{value}', no responder that can be called in this version",
        "write its SIP URI over UDP, TCP or TLS and IPv4, such as sip:echo@203.0.113.7 (docs/responder.md)",
        "'{path}' là '{value}', không phải responder gọi được trong phiên bản này",
        "ghi SIP URI của nó qua UDP, TCP hoặc TLS và IPv4, ví dụ sip:echo@203.0.113.7 (docs/responder.md)",
    ),
    "bad_zone": Message(
        "'{path}' is '{value}', no known time zone",
        "write an IANA name such as Asia/Ho_Chi_Minh",
        "'{path}' là '{value}', không phải múi giờ đã biết",
        "ghi tên IANA, ví dụ Asia/Ho_Chi_Minh",
    ),
    "bad_clock": Message(
        "'{path}' is '{value}', no time of day",
        "write hours and minutes like 20:00",
        "'{path}' là '{value}', không phải giờ trong ngày",
        "ghi giờ và phút như 20:00",
    ),
    "bad_moment": Message(
        "'{path}' is '{value}', no date with time",
        "write it like 2024-06-27 14:00 (year-month-day, then the time in the event's zone)",
        "'{path}' là '{value}', không phải ngày giờ",
        "ghi như 2024-06-27 14:00 (năm-tháng-ngày, rồi giờ theo múi giờ của sự kiện)",
    ),
    "ambiguous_moment": Message(
        "'{path}' is '{value}', which comes twice in zone {zone}: the clocks are put back",
        "add the offset meant, like {value}{offset}",
        "'{path}' là '{value}', xảy ra hai lần trong múi giờ {zone} do vặn lùi đồng hồ",
        "ghi thêm độ lệch giờ, như {value}{offset}",
    ),
    "skipped_moment": Message(
        "'{path}' is '{value}', which never comes in zone {zone}: the clocks are put forward",
        "write a time before or after the gap",
        "'{path}' là '{value}', không tồn tại trong múi giờ {zone} do vặn tới đồng hồ",
        "ghi giờ trước hoặc sau khoảng bị bỏ qua",
    ),
}

_EVENT: Final = {
    "no_rehearsals": Message(
        "there is no rehearsal window, so no room would ever be called",
        "add at least one entry '- start: …'",
        "không có khung giờ kiểm tra, nên không điểm cầu nào được gọi",
        "thêm ít nhất một mục '- start: …'",
    ),
    "window_order": Message(
        "'{path}' ends at {end}, not after its start {start}",
        "let it end later",
        "'{path}' kết thúc lúc {end}, không sau lúc bắt đầu {start}",
        "ghi giờ kết thúc muộn hơn",
    ),
    "overlapping_windows": Message(
        "'{path}' begins at {start}, before the window of line {other} has ended at {end}",
        "join the two windows, or move one",
        "'{path}' bắt đầu lúc {start}, trước khi khung giờ ở dòng {other} kết thúc lúc {end}",
        "gộp hai khung giờ, hoặc dời một khung",
    ),
    "window_in_guard": Message(
        "'{path}' runs until {end}, into the guard that begins at {guard}",
        "end it by {guard}, or leave its end away",
        "'{path}' kéo dài đến {end}, lấn vào khoảng đệm (guard) từ {guard}",
        "kết thúc trước {guard}, hoặc bỏ trống giờ kết thúc",
    ),
    "window_after_guard": Message(
        "'{path}' begins at {start}, not before the guard that begins at {guard}",
        "begin it earlier, or remove it",
        "'{path}' bắt đầu lúc {start}, không trước khoảng đệm (guard) từ {guard}",
        "bắt đầu sớm hơn, hoặc bỏ khung giờ này",
    ),
    "long_window": Message(
        "'{path}' lasts from {start} to {end}, more than a year",
        "check its dates and those of the conference",
        "'{path}' kéo dài từ {start} đến {end}, hơn một năm",
        "kiểm tra ngày của khung giờ này và của hội nghị",
    ),
    "equal_quiet_hours": Message(
        "quiet_hours begin and end at {start}",
        "give two different times, or remove quiet_hours",
        "quiet_hours bắt đầu và kết thúc cùng lúc {start}",
        "ghi hai giờ khác nhau, hoặc bỏ quiet_hours",
    ),
    "late_deadline": Message(
        "registration_deadline {moment} is after the conference has begun",
        "check its date",
        "registration_deadline {moment} sau khi hội nghị đã bắt đầu",
        "kiểm tra lại ngày",
        warning=True,
    ),
    "quiet_window": Message(
        "'{path}' lies in the quiet hours: nothing will be called in it",
        "move the window or the quiet hours",
        "'{path}' nằm trọn trong giờ không gọi (quiet_hours): không điểm cầu nào được gọi",
        "dời khung giờ hoặc quiet_hours",
        warning=True,
    ),
    "past_window": Message(
        "'{path}' lies in the past (until {end})",
        "give the dates of the coming event",
        "'{path}' đã qua (đến {end})",
        "ghi ngày giờ của sự kiện sắp tới",
        warning=True,
    ),
    "past_conference": Message(
        "the conference is over since {end}",
        "give the dates of the coming event",
        "hội nghị đã kết thúc từ {end}",
        "ghi ngày giờ của sự kiện sắp tới",
        warning=True,
    ),
}

_SETTINGS: Final = {
    "too_few_tiers": Message(
        "tiers names fewer than two tiers",
        "name them from the top down; the first is the centre's, the second the provinces'",
        "tiers có ít hơn hai cấp",
        "ghi các cấp từ trên xuống; cấp đầu là Trung ương, cấp hai là tỉnh",
    ),
    "duplicate_tier": Message(
        "tier '{tier}' stands twice",
        "name each tier once",
        "cấp '{tier}' bị lặp",
        "ghi mỗi cấp một lần",
    ),
    "unknown_tier_key": Message(
        "'{path}' names no tier",
        "use one of: {known}",
        "'{path}' không phải tên cấp",
        "dùng một trong: {known}",
    ),
    "no_default_profile": Message(
        "default_profile is missing, but {count} sites name no profile (the first in line {first} of sites.csv)",
        "add default_profile: with the name of a profile, or fill column probe",
        "thiếu default_profile, nhưng {count} điểm cầu chưa ghi probe (đầu tiên ở dòng {first} của sites.csv)",
        "thêm default_profile: kèm tên mẫu kiểm tra, hoặc điền cột probe",
    ),
    "silent_reference": Message(
        "the reference is called with profile '{profile}' of kind {kind}, which measures no media",
        "name a profile of kind sip, or leave 'profile' out for the built-in one",
        "responder tham chiếu được gọi bằng mẫu '{profile}' loại {kind}, không đo âm thanh",
        "ghi một mẫu loại sip, hoặc bỏ 'profile' để dùng mẫu có sẵn",
    ),
    "reserved_profile": Message(
        "a profile can't be called 'none'",
        "give it another name: none means “not testable from here”",
        "không được đặt tên mẫu kiểm tra là 'none'",
        "đổi tên: none nghĩa là “không kiểm tra được từ đây”",
    ),
    "threshold_order": Message(
        "'{path}': {low} ({low_value:g}) is above {high} ({high_value:g})",
        "let degraded be the smaller of the two",
        "'{path}': {low} ({low_value:g}) lớn hơn {high} ({high_value:g})",
        "để ngưỡng suy giảm nhỏ hơn ngưỡng không đạt",
    ),
    "confirmation_order": Message(
        "confirmation.{name} is {count}, more than window ({window})",
        "make window larger, or {name} smaller",
        "confirmation.{name} là {count}, lớn hơn window ({window})",
        "tăng window, hoặc giảm {name}",
    ),
}

_TLS: Final = {
    "bad_fingerprint": Message(
        "'{path}' is '{value}', no SHA-256 fingerprint",
        "write its 64 hexadecimal digits, as `openssl x509 -noout -fingerprint -sha256` shows them",
        "'{path}' là '{value}', không phải dấu vân tay SHA-256",
        "ghi 64 chữ số thập lục phân của nó, như `openssl x509 -noout -fingerprint -sha256` cho thấy",
    ),
    "tls_contradiction": Message(
        "'{path}' has {ways}, each of which alone says how a certificate is judged",
        "keep one: ca_file (an authority of your own), pins (the certificate itself), or verify: false (by nothing)",
        "'{path}' có {ways}, mà mỗi khóa tự nó đã quy định cách kiểm tra chứng thư",
        "giữ một khóa: ca_file (cơ quan cấp riêng), pins (chính chứng thư đó), hoặc verify: false (không kiểm tra)",
    ),
    "tls_unverified": Message(
        "'{path}' is false: whoever answers there is taken for the right one",
        "pin the certificate's fingerprint with pins, or name its authority with ca_file",
        "'{path}' là false: bất cứ ai trả lời ở đó đều được coi là đúng",
        "ghim dấu vân tay của chứng thư bằng pins, hoặc ghi cơ quan cấp bằng ca_file",
        warning=True,
    ),
    "key_without_certificate": Message(
        "'{path}' names a key, but no certificate stands beside it",
        "add certificate: with its PEM file, or remove the key",
        "'{path}' ghi khóa bí mật, nhưng không có certificate bên cạnh",
        "thêm certificate: kèm tệp PEM của nó, hoặc bỏ khóa này",
    ),
    "open_tls_key": Message(
        "'{path}': others may read the key in {file}",
        "take that right away: chmod 600 {file}",
        "'{path}': người khác đọc được khóa bí mật trong {file}",
        "bỏ quyền đó: chmod 600 {file}",
    ),
    "tls_file": Message(
        "'{path}' can't be used: {error}",
        "name a PEM file that this user may read, relative to this folder",
        "'{path}' không dùng được: {error}",
        "ghi một tệp PEM mà người dùng này đọc được, tính từ thư mục này",
    ),
}

MESSAGES: Final = _YAML | _VALUES | _EVENT | _SETTINGS | _TLS
