"""Messages about the files themselves, ``sites.csv`` and ``contacts.csv``.

Owns wording only; keys and facts are those of `config.problems.Problems.add`.
"""

from __future__ import annotations

from typing import Final

from bridge_monitor.config.message import Message

_FILES: Final = {
    "missing_folder": Message(
        "there is no such folder",
        "name the folder that holds sites.csv, contacts.csv, event.yaml and bridge_monitor.yaml",
        "không có thư mục này",
        "chỉ ra thư mục chứa sites.csv, contacts.csv, event.yaml và bridge_monitor.yaml",
    ),
    "missing_file": Message(
        "the file is missing",
        "write it; configs/minimal shows how",
        "thiếu tệp này",
        "tạo tệp theo mẫu trong configs/minimal",
    ),
    "unreadable_file": Message(
        "the file can't be read: {error}",
        "make it an ordinary file that this user may read",
        "không đọc được tệp: {error}",
        "để tệp là tệp thường và cấp quyền đọc cho người dùng này",
    ),
    "not_utf8": Message(
        "byte 0x{byte:02x} is not UTF-8",
        "save the file as UTF-8 (in a spreadsheet: “CSV UTF-8”)",
        "byte 0x{byte:02x} không phải UTF-8",
        "lưu tệp dạng UTF-8 (trong bảng tính: “CSV UTF-8”)",
    ),
}

_TABLES: Final = {
    "missing_column": Message(
        "column '{column}' is missing",
        "add it to the first line",
        "thiếu cột '{column}'",
        "thêm cột này vào dòng đầu",
    ),
    "unknown_column": Message(
        "unknown column '{column}'",
        "use only these columns: {known}",
        "không có cột tên '{column}'",
        "chỉ dùng các cột: {known}",
    ),
    "duplicate_column": Message(
        "column '{column}' stands twice",
        "remove one of the two",
        "cột '{column}' bị lặp",
        "bỏ một trong hai cột",
    ),
    "field_count": Message(
        "{found} fields, but the first line names {expected}",
        "give each column its value; put a value that holds a comma in double quotes",
        "có {found} trường, nhưng dòng đầu có {expected} cột",
        "ghi đủ giá trị cho từng cột; giá trị có dấu phẩy phải đặt trong ngoặc kép",
    ),
    "csv_syntax": Message(
        "the quotes don't match: {error}",
        "close each double quote, and double those inside a quoted value",
        "ngoặc kép không khớp: {error}",
        "đóng đủ ngoặc kép, và viết đôi dấu ngoặc kép nằm trong giá trị",
    ),
    "missing_value": Message(
        "column '{column}' is empty",
        "give it a value",
        "cột '{column}' để trống",
        "điền giá trị",
    ),
    "bad_cell_choice": Message(
        "'{value}' is no {column}",
        "write one of: {known}",
        "'{value}' không hợp lệ cho cột {column}",
        "ghi một trong các giá trị: {known}",
    ),
}

_SITES: Final = {
    "no_sites": Message(
        "the list has no sites",
        "add a line for each room",
        "danh sách không có điểm cầu nào",
        "thêm một dòng cho mỗi điểm cầu",
    ),
    "bad_code": Message(
        "code '{code}' has characters that a code must not have",
        "use letters A–Z, digits, '.', '_' and '-' only",
        "mã '{code}' có ký tự không được phép",
        "chỉ dùng chữ A–Z, chữ số, '.', '_' và '-'",
    ),
    "duplicate_code": Message(
        "code '{code}' stands already in line {first}",
        "give each site a code of its own",
        "mã '{code}' đã có ở dòng {first}",
        "đặt cho mỗi điểm cầu một mã riêng",
    ),
    "unknown_tier": Message(
        "tier '{tier}' is not configured",
        "write one of: {known} (tiers: in bridge_monitor.yaml)",
        "cấp '{tier}' chưa được khai báo",
        "ghi một trong các cấp: {known} (tiers: trong bridge_monitor.yaml)",
    ),
    "missing_parent": Message(
        "site '{code}' of tier '{tier}' has no parent",
        "name the code of the site above it; only sites of tier '{top}' have none",
        "điểm cầu '{code}' thuộc cấp '{tier}' chưa có điểm cầu cấp trên",
        "ghi mã điểm cầu cấp trên ở cột parent; chỉ cấp '{top}' được để trống",
    ),
    "top_has_parent": Message(
        "site '{code}' is of the top tier '{tier}' and can't have a parent",
        "leave parent empty, or give the site a lower tier",
        "điểm cầu '{code}' thuộc cấp cao nhất '{tier}', không thể có cấp trên",
        "để trống cột parent, hoặc ghi cấp thấp hơn",
    ),
    "unknown_parent": Message(
        "parent '{parent}' is not in the list",
        "write the code of a site of this file, leading zeros kept",
        "điểm cầu cấp trên '{parent}' không có trong danh sách",
        "ghi mã của một điểm cầu trong tệp này, giữ các số 0 ở đầu",
    ),
    "cycle": Message(
        "the parents go round in a circle: {circle}",
        "give one of these sites a parent outside the circle",
        "quan hệ cấp trên bị khép vòng: {circle}",
        "đổi cấp trên của một trong các điểm cầu này ra ngoài vòng",
    ),
    "tier_order": Message(
        "parent '{parent}' is of tier '{parent_tier}', which is not above '{tier}'",
        "name a parent of one of the tiers: {above}",
        "cấp trên '{parent}' thuộc cấp '{parent_tier}', không cao hơn cấp '{tier}'",
        "chọn cấp trên thuộc một trong các cấp: {above}",
    ),
    "no_way_to_test": Message(
        "site '{code}' has neither endpoint nor attends_at, and its probe is not none",
        "give its endpoint, or the site it attends at, or write none in column probe",
        "điểm cầu '{code}' không có endpoint, không có attends_at, và probe không phải none",
        "ghi endpoint, hoặc mã điểm cầu nơi dự họp, hoặc ghi none ở cột probe",
    ),
    "unknown_attends_at": Message(
        "attends_at '{host}' is not in the list",
        "write the code of the site where its people sit, leading zeros kept",
        "attends_at '{host}' không có trong danh sách",
        "ghi mã điểm cầu nơi đơn vị dự họp, giữ các số 0 ở đầu",
    ),
    "attends_at_itself": Message(
        "site '{code}' attends at itself",
        "leave attends_at empty, or name the site where its people sit",
        "điểm cầu '{code}' ghi dự tại chính mình",
        "để trống attends_at, hoặc ghi mã điểm cầu nơi đơn vị dự họp",
    ),
    "attends_at_chain": Message(
        "'{code}' attends at '{host}', which itself attends at '{further}'",
        "name the site where both really sit",
        "'{code}' dự tại '{host}', nhưng '{host}' lại dự tại '{further}'",
        "ghi điểm cầu nơi cả hai thực sự dự họp",
    ),
    "unknown_via": Message(
        "via '{via}' is not in the list",
        "write the code of the site that calls to it cross, or leave it empty for its parent",
        "via '{via}' không có trong danh sách",
        "ghi mã điểm cầu mà cuộc gọi đi qua, hoặc để trống để lấy cấp trên",
    ),
    "via_cycle": Message(
        "the ways of test calls (via, else parent) go round in a circle: {circle}",
        "let one of these sites' via name a site outside the circle",
        "đường gọi (via, nếu trống thì parent) bị khép vòng: {circle}",
        "để via của một trong các điểm cầu này trỏ ra ngoài vòng",
    ),
    "endpoint_scheme": Message(
        "endpoint '{endpoint}' begins with no known scheme",
        "begin it with one of: {known}",
        "endpoint '{endpoint}' không bắt đầu bằng giao thức đã biết",
        "bắt đầu bằng một trong: {known}",
    ),
    "endpoint_syntax": Message(
        "endpoint '{endpoint}' doesn't parse",
        "write it like sip:room@192.0.2.10:5060 or whip+https://bridge.example.org/room",
        "endpoint '{endpoint}' sai cú pháp",
        "ghi như sip:phong@192.0.2.10:5060 hoặc whip+https://bridge.example.org/phong",
    ),
    "not_callable": Message(
        "profile '{profile}' (kind {kind}) can't call '{endpoint}' in this version",
        "give a sip: or sips: endpoint over UDP, TCP or TLS and IPv4, or write none in column probe",
        "mẫu kiểm tra '{profile}' (loại {kind}) chưa gọi được '{endpoint}' trong phiên bản này",
        "ghi endpoint sip: hoặc sips: qua UDP, TCP hoặc TLS và IPv4, hoặc ghi none ở cột probe",
    ),
    "unknown_profile": Message(
        "profile '{profile}' is not configured",
        "write one of: {known} (probes: in bridge_monitor.yaml)",
        "không có mẫu kiểm tra '{profile}'",
        "ghi một trong: {known} (probes: trong bridge_monitor.yaml)",
    ),
    "bad_flag": Message(
        "'{value}' in column '{column}' is neither yes nor no",
        "write yes, or no, or leave it empty",
        "'{value}' ở cột '{column}' không phải có hay không",
        "ghi yes (có) hoặc no (không), hoặc để trống",
    ),
    "shared_endpoint": Message(
        "endpoint '{endpoint}' is that of site '{other}' in line {first}, too",
        "give each room its own endpoint, or the site it attends at",
        "endpoint '{endpoint}' trùng với điểm cầu '{other}' ở dòng {first}",
        "ghi endpoint riêng cho từng điểm cầu, hoặc ghi nơi dự họp ở attends_at",
        warning=True,
    ),
    "carrier_spelling": Message(
        "carrier '{carrier}' is spelt '{other}' in line {first}",
        "spell it one way, or its sites are counted apart",
        "doanh nghiệp '{carrier}' được viết là '{other}' ở dòng {first}",
        "viết thống nhất một cách, nếu không các điểm cầu bị đếm riêng",
        warning=True,
    ),
}

_CONTACTS: Final = {
    "unknown_province": Message(
        "'{code}' is no province of sites.csv",
        "write the code of a site of tier '{tier}', leading zeros kept",
        "'{code}' không phải mã tỉnh trong sites.csv",
        "ghi mã của một điểm cầu cấp '{tier}', giữ các số 0 ở đầu",
    ),
    "unknown_carrier": Message(
        "'{name}' is no carrier of sites.csv",
        "write one of: {known}",
        "'{name}' không phải doanh nghiệp có trong sites.csv",
        "ghi một trong: {known}",
    ),
    "bad_contact_address": Message(
        "'{address}' is no address for channel {channel}",
        "write it like {example}",
        "'{address}' không phải địa chỉ cho kênh {channel}",
        "ghi như {example}",
    ),
    "duplicate_contact": Message(
        "this contact stands already in line {first}",
        "remove one of the two lines",
        "đầu mối này đã có ở dòng {first}",
        "bỏ một trong hai dòng",
    ),
    "future_registration": Message(
        "registered_at {moment} is still to come",
        "write when the registration arrived, or leave it empty if it has not",
        "registered_at {moment} là thời điểm chưa tới",
        "ghi thời điểm nhận đăng ký, hoặc để trống nếu chưa nhận",
        warning=True,
    ),
}

MESSAGES: Final = _FILES | _TABLES | _SITES | _CONTACTS
