"""The commands' own sentences in Vietnamese and English.

Owns wording only; what outcomes and grades mean is in `domain.wording`.
"""

from __future__ import annotations

from typing import Final

from bridge_monitor.domain.wording import Lang

_TEXTS: Final[dict[str, tuple[str, str]]] = {
    "not_a_uri": (
        "{target} không phải URI gọi được ({why}); hãy viết như sip:echo@192.0.2.7:5060",
        "{target} is no URI that can be called ({why}); write it as sip:echo@192.0.2.7:5060",
    ),
    "profile_needs_config": (
        "--profile cần cấu hình; hãy thêm --config THƯ_MỤC hoặc bỏ --any-target",
        "--profile needs a configuration; add --config FOLDER, or leave --any-target out",
    ),
    "probe_needs_config": (
        "cần cấu hình để gọi một điểm cầu: thêm --config THƯ_MỤC, hoặc gọi một URI với --any-target",
        "a site is called by a configuration: add --config FOLDER, or call a URI with --any-target",
    ),
    "no_such_site": (
        "{target} không có trong danh sách; xem `bridge-monitor sites list`, hoặc gọi một URI với --any-target",
        "{target} is not in the site list; see `bridge-monitor sites list`, or call a URI with --any-target",
    ),
    "no_such_profile": (
        "không có hồ sơ đo {profile}; hiện có: {known}",
        "there is no profile {profile}; there are: {known}",
    ),
    "no_such_kind": (
        "phiên bản này không gọi được kiểu {kind}; hiện có: {known}",
        "this version can't place calls of kind {kind}; there are: {known}",
    ),
    "not_callable": (
        "phiên bản này chưa gọi được {target}: chỉ gọi SIP qua UDP, TCP hoặc TLS, tới tên miền hoặc địa chỉ IPv4",
        "this version can't call {target}: it calls SIP over UDP, TCP or TLS, to a name or an IPv4 address",
    ),
    "refused_outside_window": (
        "ngoài thời gian kiểm tra đường truyền; `bridge-monitor check-config` cho biết khi nào được gọi",
        "outside the rehearsal windows; `bridge-monitor check-config` tells when calls may be placed",
    ),
    "refused_quiet_hours": (
        "đang trong giờ nghỉ, không gọi thử",
        "these are quiet hours: no test call is placed",
    ),
    "refused_guard": (
        "sắp đến giờ hội nghị, các phòng đã có người: không gọi thử nữa",
        "the conference is about to begin and people are in the rooms: no test call is placed any more",
    ),
    "refused_conference": (
        "hội nghị đang diễn ra: không gọi thử",
        "the conference is on: no test call is placed",
    ),
    "refused_site_in_call": (
        "điểm cầu này đang có một cuộc gọi thử khác",
        "the site is in another test call",
    ),
    "refused_too_soon": (
        "điểm cầu này vừa được gọi; intervals.min_between_calls chưa hết",
        "the site was called a moment ago; intervals.min_between_calls is not over",
    ),
    "refused_cap": (
        "đã chạm giới hạn cuộc gọi; hãy thử lại sau giây lát",
        "a cap of test calls is reached; try again in a moment",
    ),
    "refused_unknown_site": (
        "chương trình đang chạy không gọi điểm cầu này; nó đã nạp cấu hình mới nhất chưa?",
        "the running daemon doesn't call this site; has it loaded the newest configuration?",
    ),
    "refused_not_testable": (
        "điểm cầu này không kiểm tra được từ đây (dự tại điểm cầu khác, probe = none hoặc không có endpoint)",
        "the site is not testable from here (it attends elsewhere, has probe = none, or no endpoint)",
    ),
    "refused_daemon_running": (
        "đã có một chương trình khác chạy với cùng thư mục trạng thái; hãy dừng nó hoặc chọn --state-dir khác",
        "another daemon runs with this state directory; stop it, or choose another --state-dir",
    ),
    "refused_daemon_silent": (
        "chương trình đang chạy không trả lời qua socket điều khiển",
        "the running daemon does not answer on its control socket",
    ),
    "refused_call_longer_than_window": (
        "cuộc gọi dài hơn mọi đợt kiểm tra",
        "its call is longer than every window",
    ),
    "refused_bandwidth_above_cap": (
        "cuộc gọi cần băng thông lớn hơn giới hạn",
        "its call needs more bandwidth than a cap allows",
    ),
    "or_outside_window": (
        "nếu thật cần hãy thêm --outside-window",
        "if it has to be, add --outside-window",
    ),
    "refused": ("không gọi ({reason}): {why}", "not called ({reason}): {why}"),
    "refused_count": ("{count} điểm cầu chưa được gọi ({reason}): {why}", "{count} sites not called ({reason}): {why}"),
    "refused_site": ("điểm cầu {site} không gọi ({reason}): {why}", "site {site} not called ({reason}): {why}"),
    "invalid_count": (
        "{count} phép đo không hợp lệ, lỗi phía ta: {why}",
        "{count} measurements were invalid, our own fault: {why}",
    ),
    "sweep_cut": (
        "Hết thời gian được gọi thử: {count} điểm cầu chưa đến lượt.",
        "The time for test calls is over: {count} sites did not have their turn.",
    ),
    "result_not_kept": (
        "chương trình đang chạy không nhận kết quả này",
        "the running daemon did not take this result",
    ),
    "local_fault": ("Lỗi của chính máy này: {why}", "This machine's own fault: {why}"),
    "our_bug": (
        "Lỗi trong chương trình; xin gửi các dòng trên cho nhóm phát triển.",
        "A bug of this program; please send the lines above to its makers.",
    ),
    "kept_until_restart": (
        "thay đổi trong {keys} chỉ có hiệu lực khi khởi động lại",
        "changes in {keys} take effect at the next start only",
    ),
    "restart_mend": ("khởi động lại chương trình khi thuận tiện", "restart the daemon when it suits"),
    "cap_above_start": (
        "caps.total.calls_at_once cao hơn lúc khởi động; từ nay dùng {rows} cuộc cùng lúc",
        "caps.total.calls_at_once is above what the daemon was started with; {rows} at once are used",
    ),
    "roster_problem": (
        "có lỗi trong danh sách đầu mối (không ghi nội dung ra nhật ký)",
        "there is a problem in the roster (its contents are kept out of logs)",
    ),
    "roster_mend": (
        "chạy `bridge-monitor check-config` để xem lỗi",
        "run `bridge-monitor check-config` to see it",
    ),
    "simulated_outside": (
        "{count} cuộc gọi diễn ra ngoài các đợt kiểm tra.",
        "{count} calls were up outside the event's windows.",
    ),
    "simulator_ended": ("phần mô phỏng đã dừng (mã {code})", "the simulator ended (exit code {code})"),
    "no_configs_here": (
        "không thấy {folder}; hãy chỉ ra cấu hình bằng --config",
        "{folder} is not here; name a configuration with --config",
    ),
    "measuring": ("đang đo {seconds} giây âm thanh", "measuring {seconds} s of audio"),
    "sweep_total": (
        "{good} tốt, {degraded} suy giảm, {failed} không đạt, {busy} bận, {untested} chưa đo; {seconds} giây",
        "{good} good, {degraded} degraded, {failed} failed, {busy} busy, {untested} untested; {seconds} s",
    ),
    "advised": (
        "Lưu ý, không phải lỗi đường truyền: {count} điểm cầu, {what} ({sites})",
        "Advisory, no fault of the line: {count} rooms, {what} ({sites})",
    ),
    "nothing_to_call": (
        "không có điểm cầu nào để gọi theo lựa chọn này; xem `bridge-monitor sites list`",
        "no site to call by this choice; see `bridge-monitor sites list`",
    ),
    "unknown_choice": (
        "{option} {value}: không có trong cấu hình; hiện có: {known}",
        "{option} {value}: not in the configuration; there are: {known}",
    ),
    "summary_good": ("tốt", "good"),
    "calls_up": ("đang gọi", "calls up"),
    "worst_provinces": ("Các tỉnh có nhiều điểm cầu không đạt nhất", "Provinces with most failing sites"),
    "failing_sites": ("Các điểm cầu không đạt và suy giảm", "Sites that failed or are degraded"),
    "more": ("… và {count} điểm cầu nữa", "… and {count} more sites"),
    "good_again": ("cuộc gọi gần nhất đã tốt, chờ xác nhận", "its last call was good: one more settles it"),
    "none_failing": ("Không điểm cầu nào không đạt hay suy giảm.", "No site failed or is degraded."),
    "province": ("Tỉnh", "Province"),
    "site": ("Điểm cầu", "Site"),
    "carrier": ("Doanh nghiệp viễn thông", "Carrier"),
    "tested": ("đã đo", "tested"),
    "failed": ("không đạt", "failed"),
    "degraded": ("suy giảm", "degraded"),
    "cause": ("Nguyên nhân chính", "Leading cause"),
    "cause_of_site": ("Nguyên nhân", "Cause"),
    "owner": ("Trách nhiệm", "Whose it is"),
    "seconds": ("{seconds} giây", "{seconds} s"),
    "name": ("Tên", "Name"),
    "code": ("Mã", "Code"),
    "tier": ("Cấp", "Tier"),
    "takes_part": ("Tham gia", "Takes part"),
    "called": ("được gọi", "called"),
    "attends_at": ("dự tại {site}", "attends at {site}"),
    "untestable": ("không kiểm tra được từ đây", "not testable from here"),
    "listening": ("Số liệu Prometheus: {url}", "Prometheus metrics: {url}"),
    "daemon_stopped": ("Đã dừng; mọi cuộc gọi đã kết thúc.", "Stopped; every call has ended."),
    "calls_left": (
        "Đã dừng; {count} cuộc gọi chưa kết thúc được, sẽ được kết thúc ở lần khởi động sau.",
        "Stopped; {count} calls could not be ended yet and will be at the next start.",
    ),
    "not_loopback": (
        "điểm cầu {site} có endpoint {endpoint} ngoài 127.0.0.0/8: chỉ mô phỏng trên máy này",
        "site {site} has the endpoint {endpoint} outside 127.0.0.0/8: only this machine is simulated",
    ),
    "simulating": (
        "Mô phỏng {sites} điểm cầu, {faulty} có sự cố; Ctrl-C để dừng",
        "Simulating {sites} sites, {faulty} with faults; Ctrl-C ends it",
    ),
    "simulation_void": (
        "Kết quả không dùng được: chính chương trình mô phỏng bị chậm hoặc mất gói ({why})",
        "This run is void: the simulator itself was late or dropped packets ({why})",
    ),
    "simulation_clean": ("Mô phỏng không mất gói, không chậm.", "The simulator dropped nothing and was not late."),
    "demo_intro": (
        "Cả nước mô phỏng trên máy này: {rooms} điểm cầu, {faulty} có sự cố được cài.",
        "A simulated nation on this machine: {rooms} rooms, {faulty} with planted faults.",
    ),
    "demo_shift": (
        "Ngày giờ sự kiện được dời để lúc này nằm trong đợt kiểm tra ({window}); đồng hồ vẫn thật.",
        "The event's dates are shifted so that now lies in the rehearsal window ({window}); clocks stay true.",
    ),
    "demo_caps": (
        "Giới hạn được nâng để vòng đầu xong trong ba phút: {rate} cuộc gọi/giây, {at_once} cuộc cùng lúc.",
        "The caps are raised so that the first sweep is done within three minutes: {rate} calls/s, {at_once} at once.",
    ),
    "demo_done": (
        "Vòng đầu xong sau {seconds} giây: {good} tốt, {degraded} suy giảm, {failed} không đạt, {busy} bận.",
        "First sweep done in {seconds} s: {good} good, {degraded} degraded, {failed} failed, {busy} busy.",
    ),
    "demo_truth": (
        "So với sự cố đã cài: tìm thấy {found}/{planted}, báo nhầm {wrong} điểm cầu, {invalid} phép đo không hợp lệ.",
        "Against what was planted: {found} of {planted} found, {wrong} healthy sites marked, {invalid} calls invalid.",
    ),
    "now_is": ("Bây giờ là {when} ({zone})", "It is {when} now ({zone})"),
    "phase_is": ("Giai đoạn: {phase}", "Phase: {phase}"),
    "what": ("Việc", "What"),
    "from": ("Từ", "From"),
    "until": ("Đến", "Until"),
    "calls_may_be_up": ("Được gọi thử", "Test calls may be up"),
    "span_rehearsal": ("kiểm tra đường truyền", "rehearsal"),
    "span_guard": ("chờ khai mạc", "guard"),
    "span_conference": ("hội nghị", "conference"),
    "over": ("đã qua", "over"),
    "never": ("không", "never"),
    "sites": ("điểm cầu", "sites"),
    "attending": ("dự nơi khác", "attend elsewhere"),
    "all": ("tất cả", "all"),
    "no_carrier": ("(không rõ)", "(not known)"),
    "load": (
        "Theo giới hạn: {rate} cuộc gọi/giây, nhiều nhất {at_once} cuộc cùng lúc, {mbit} Mbit/s mỗi chiều",
        "At the caps: {rate} calls/s, at most {at_once} at once, {mbit} Mbit/s each way",
    ),
    "reference": (
        "Responder tham chiếu: {names}; luôn chiếm {mbit} Mbit/s mỗi chiều khi được phép gọi",
        "Reference: {names}; it takes {mbit} Mbit/s each way all the time that calls are allowed",
    ),
    "account": (
        "Tài khoản SIP: realm {realm}, tên {user}, dùng cho {where}; mật khẩu từ {source}",
        "SIP account: realm {realm}, user {user}, for {where}; its secret from {source}",
    ),
    "account_all": ("mọi điểm cầu", "all sites"),
    "account_site": ("điểm cầu", "sites"),
    "account_province": ("tỉnh", "provinces"),
    "account_carrier": ("doanh nghiệp viễn thông", "carriers"),
    "secret_file": ("tệp riêng", "a file"),
    "secret_env": ("biến môi trường", "the environment"),
    "secret_credential": ("credential của systemd", "a credential of systemd"),
    "secret_missing": (" (tiến trình này không có)", " (which this process doesn't have)"),
    "load_province": (
        "Tỉnh nhiều nhất: {at_once} cuộc cùng lúc, {mbit} Mbit/s mỗi chiều",
        "The busiest province: {at_once} at once, {mbit} Mbit/s each way",
    ),
    "sweep_done": (
        "Vòng đầu qua {calls} điểm cầu: từ {start} đến {end} (mất {takes})",
        "First sweep of {calls} sites: {start} to {end} (takes {takes})",
    ),
    "sweep_never": (
        "Không còn đợt kiểm tra nào: sẽ không gọi cuộc nào",
        "No rehearsal window is left: no call will be placed",
    ),
    "sweep_too_long": (
        "Các đợt kiểm tra còn lại chỉ đủ gọi {done}/{calls} điểm cầu; hãy nâng giới hạn hoặc mở thêm đợt",
        "The windows left suffice for {done} of {calls} sites only; raise the caps or open another window",
    ),
    "sweep_obstacle": (
        "điểm cầu {site} sẽ không bao giờ được gọi: {reason}",
        "site {site} will never be called: {reason}",
    ),
    "roster_provinces": (
        "Đầu mối cấp tỉnh: {in_time} đúng hạn, {late} quá hạn, {missing} chưa đăng ký",
        "Contacts of provinces: {in_time} in time, {late} late, {missing} missing",
    ),
    "roster_carriers": (
        "Đầu mối doanh nghiệp viễn thông: {in_time} đúng hạn, {late} quá hạn, {missing} chưa đăng ký",
        "Contacts of carriers: {in_time} in time, {late} late, {missing} missing",
    ),
    "bad_responder_listen": (
        "--listen: {value} không dùng được; hãy ghi một địa chỉ IPv4 của máy này, như 192.0.2.7:5060 (không 0.0.0.0)",
        "--listen: {value} won't do; write an IPv4 address of this machine as in 192.0.2.7:5060 (not 0.0.0.0)",
    ),
    "bad_responder_ports": (
        "--media-ports: {value} không phải dải cổng; hãy ghi như 40000-40099, trong khoảng 1024-65535",
        "--media-ports: {value} is no range of ports; write it as 40000-40099, between 1024 and 65535",
    ),
    "too_few_responder_ports": (
        "--media-ports: {value} không đủ cho {calls} cuộc gọi; cần {needed} cổng, bắt đầu từ một số chẵn",
        "--media-ports: {value} won't do for {calls} calls; they need {needed} ports, the first an even number",
    ),
    "bad_responder_advertise": (
        "--advertise: {value} không phải địa chỉ IPv4; hãy ghi địa chỉ mà người gọi dùng, như 203.0.113.7",
        "--advertise: {value} is no IPv4 address; write the one that callers use, as in 203.0.113.7",
    ),
    "bad_responder_allow": (
        "--allow: {value} không phải mạng IPv4; hãy ghi như 203.0.113.0/24 hoặc 203.0.113.7",
        "--allow: {value} is no IPv4 network; write it as 203.0.113.0/24 or 203.0.113.7",
    ),
    "responder_status": (
        "{up} cuộc gọi; đã trả lời {answered}, bận {busy}, từ chối {refused}; {packets} gói, 99 % trả lại trong {late}",
        "{up} calls up; {answered} answered, {busy} found it busy, {refused} refused; {packets} packets, 99% in {late}",
    ),
    "responder_lost": (
        "- máy này tự làm mất {count} gói",
        "- {count} packets lost in this machine itself",
    ),
    "responder_died": (
        "bộ phận gửi nhận gói của responder đã dừng; thông báo của nó ở phía trên",
        "the responder's media process has ended; its message is above",
    ),
    "not_a_rate": (
        "{value} không phải tốc độ; hãy viết như 500k, 2M hoặc 1.5M (bit mỗi giây)",
        "{value} is no rate; write it like 500k, 2M or 1.5M (bits a second)",
    ),
    "rate_bounds": (
        "tốc độ phải từ {low} đến {high}, và --from không lớn hơn --to; đã ghi {value}",
        "rates go from {low} to {high}, and --from must not be above --to; this was {value}",
    ),
    "too_many_steps": (
        "từ {low} đến {high} là hơn {most} cuộc gọi; hãy tăng --step",
        "from {low} to {high} it would be more than {most} calls; make --step larger",
    ),
    "ramp_needs_media": (
        "--ramp cần cuộc gọi có âm thanh và hình ảnh; hãy bỏ --kind và chọn hồ sơ loại sip",
        "--ramp needs calls with sound and picture; leave --kind out and choose a profile of kind sip",
    ),
    "ramp_of_one": (
        "--ramp tự gọi nhiều lần và không ghi tệp: hãy bỏ {options}",
        "--ramp places its own series of calls and writes no file: leave {options} out",
    ),
    "ramp_capped": (
        "giới hạn băng thông của điểm cầu này chỉ cho đến {rate}",
        "the caps of this site let it rise to {rate} only",
    ),
    "ramp_rate": ("Tốc độ", "Rate"),
    "ramp_outbound": ("đến điểm cầu", "to the room"),
    "ramp_inbound": ("từ điểm cầu", "from the room"),
    "ramp_round_trip": ("khứ hồi", "round trip"),
    "ramp_frames": ("khung hình mất", "frames lost"),
    "ramp_invalid": ("phép đo không hợp lệ: {why}", "measurement invalid: {why}"),
    "ramp_no_video": (
        "điểm cầu không nhận hoặc không gửi hình ảnh: không đo được tốc độ nào",
        "the room takes or sends no video: no rate can be measured",
    ),
    "ramp_video_gone": (
        "ở {rate} không còn nhận được hình ảnh nào: đường truyền không tải được tốc độ này, hoặc điểm cầu đã tắt hình",
        "at {rate} no picture came any more: the line does not carry this rate, or the room has switched video off",
    ),
    "rates_of_no_ramp": (
        "{options} chỉ dùng cùng --ramp; hãy thêm --ramp hoặc bỏ {options}",
        "{options} only goes with --ramp; add --ramp, or leave it out",
    ),
    "ramp_clean": (
        "{way}: sạch đến {clean}, không thấy mất gói cho đến hết",
        "{way}: clean up to {clean}, no loss to the end",
    ),
    "ramp_begins": (
        "{way}: sạch đến {clean}, chắc chắn mất gói từ {begins} (cận dưới 95 %: {bound})",
        "{way}: clean up to {clean}, loss surely begins at {begins} (95 % lower bound: {bound})",
    ),
    "ramp_never_clean": (
        "{way}: mất gói ngay ở tốc độ thấp nhất {begins} (cận dưới 95 %: {bound})",
        "{way}: lossy from the lowest rate {begins} on (95 % lower bound: {bound})",
    ),
    "ramp_in_doubt": (
        "{way}: chưa kết luận được; hãy đo lâu hơn với --duration",
        "{way}: in doubt; measure for longer with --duration",
    ),
    "interrupted": ("Đang kết thúc các cuộc gọi …", "Ending the calls …"),
}


def text(key: str, lang: Lang, **values: object) -> str:
    """Return a sentence in the user's language, its places filled in."""
    return _TEXTS[key][0 if lang == "vi" else 1].format(**values)


def refusal(reason: str, lang: Lang) -> str:
    """Return why a call was refused, by the plan's or the daemon's reason."""
    key = f"refused_{reason}"
    return text(key, lang) if key in _TEXTS else reason
