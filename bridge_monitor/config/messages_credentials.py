"""Messages about the section ``credentials:`` of ``bridge_monitor.yaml`` and the secrets that it names.

Owns wording only. No pattern here names what stands in the file: it may be a secret, put there by mistake.
"""

from __future__ import annotations

from typing import Final

from bridge_monitor.config.message import Message

MESSAGES: Final = {
    "inline_secret": Message(
        "'{path}' is a secret, and this file is no place for one",
        "take it out, put it alone into a file of mode 600 and write file: PATH here (or env: NAME, credential: NAME); "
        "choose another secret if others have read this file",
        "'{path}' là mật khẩu, không được ghi trong tệp này",
        "bỏ đi, ghi riêng mật khẩu vào một tệp có quyền 600 rồi ghi ở đây file: ĐƯỜNG_DẪN (hoặc env: TÊN, "
        "credential: TÊN); đổi mật khẩu nếu người khác đã đọc tệp này",
    ),
    "secret_source": Message(
        "'{path}' must say where its secret is, once",
        "write one of file: PATH, env: NAME (a variable) or credential: NAME (of systemd)",
        "'{path}' phải ghi đúng một nơi để mật khẩu",
        "ghi một trong: file: ĐƯỜNG_DẪN, env: TÊN (biến môi trường) hoặc credential: TÊN (của systemd)",
    ),
    "credentials_scope": Message(
        "'{path}' must say where it is used: at some places, or everywhere",
        "write lists under sites:, provinces: or carriers:, or else all: true",
        "'{path}' phải ghi dùng ở đâu: một số nơi, hoặc mọi nơi",
        "ghi danh sách ở sites:, provinces: hoặc carriers:, nếu không thì all: true",
    ),
    "bad_secret_name": Message(
        "'{path}' is no name that such a source can have",
        "write a name of letters, digits and '_', not the secret itself",
        "'{path}' không phải tên hợp lệ của nơi để mật khẩu",
        "ghi tên gồm chữ, số và '_', không ghi chính mật khẩu",
    ),
    "unreadable_secret": Message(
        "the secret that '{path}' names can't be read: {error}",
        "name a file that this program's user may read; relative to this folder",
        "không đọc được mật khẩu mà '{path}' chỉ tới: {error}",
        "ghi tệp mà người dùng chạy chương trình đọc được; tính từ thư mục này",
    ),
    "open_secret": Message(
        "the secret that '{path}' names is open to every user of this machine (mode {mode})",
        "close its file: chmod 600; choose another secret if it may have been read",
        "mọi người dùng của máy này đều mở được mật khẩu mà '{path}' chỉ tới (quyền {mode})",
        "đóng tệp đó: chmod 600; đổi mật khẩu nếu có thể đã bị đọc",
    ),
    "bad_secret": Message(
        "the secret that '{path}' names is no single line of text",
        "put the password there alone, in UTF-8, on one line",
        "mật khẩu mà '{path}' chỉ tới không phải một dòng chữ",
        "chỉ ghi mật khẩu ở đó, mã UTF-8, trên một dòng",
    ),
    "secret_not_here": Message(
        "this process doesn't have the secret that '{path}' names",
        "set the variable, or let systemd load the credential (LoadCredential=); until then no challenge is answered",
        "tiến trình này không có mật khẩu mà '{path}' chỉ tới",
        "đặt biến môi trường đó, hoặc để systemd nạp (LoadCredential=); chưa có thì không xác thực được",
        warning=True,
    ),
    "duplicate_credentials": Message(
        "'{path}' is a second account of realm '{realm}' for a place that has one in line {first}",
        "remove one of the two, or let them be used at different places",
        "'{path}' là tài khoản thứ hai của realm '{realm}' cho một nơi đã có ở dòng {first}",
        "bỏ một trong hai, hoặc cho dùng ở những nơi khác nhau",
    ),
    "unknown_site": Message(
        "'{code}' is no site of sites.csv",
        "write the code of a site, leading zeros kept",
        "'{code}' không phải mã điểm cầu trong sites.csv",
        "ghi mã của một điểm cầu, giữ các số 0 ở đầu",
    ),
}
