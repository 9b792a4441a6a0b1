"""Every way a call can end: what it means, whose it is, what to do next, in Vietnamese and English.

Owns the table, which `docs/outcomes.md` explains; must not decide: outcomes and their reasons are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from bridge_monitor.domain.connections import CONNECTIONS
from bridge_monitor.domain.name_situations import NAME_SITUATIONS
from bridge_monitor.domain.results import Outcome
from bridge_monitor.domain.situation import Lang, Owner, Situation, Text

__all__ = ["SITUATIONS", "Lang", "Owner", "Situation", "Text"]

_NOTHING: Final = Text("không cần làm gì", "nothing")
_SITE_LIST: Final = Text(
    "sửa endpoint trong danh sách điểm cầu, hoặc đăng ký lại với máy chủ",
    "mend the endpoint in the site list, or the registration at the server",
)
_SOFTWARE: Final = Text(
    "kiểm tra phiên bản phần mềm của thiết bị đầu cuối", "look at the software version of the endpoint"
)
_WAIT: Final = Text(
    "chờ; lịch gọi xem bằng `bridge-monitor check-config`",
    "wait; `bridge-monitor check-config` says when it may be called",
)
_TRY_LATER: Final = Text(
    "chương trình tự gọi lại; nếu vẫn bận, hãy gọi điện cho cán bộ kỹ thuật trực",
    "it is tried again; ring the technician on call if it stays so",
)
_RINGS: Final = Situation(
    Owner.ROOM,
    Text("đổ chuông nhưng không ai nhận cuộc gọi", "it rang, and nobody took the call"),
    Text("đường truyền tốt: hãy bật tự động trả lời", "the line is fine: switch on auto-answer"),
)

SITUATIONS: Final[Mapping[tuple[Outcome, str | None], Situation]] = MappingProxyType(
    {
        (Outcome.REACHED, None): Situation(
            Owner.NOBODY, Text("kết nối được, nghe hai chiều", "reached, heard both ways"), _NOTHING
        ),
        (Outcome.REACHED, "loss"): Situation(
            Owner.CARRIER,
            Text("kết nối được, nhưng tỷ lệ mất gói vượt ngưỡng", "reached, but packet loss is over the limit"),
            Text(
                "xem mất gói ở chiều nào; yêu cầu doanh nghiệp viễn thông kiểm tra lỗi, giới hạn băng thông và tải",
                "see in which direction; ask the carrier for errors, policing and load on that line",
            ),
        ),
        (Outcome.REACHED, "rtt"): Situation(
            Owner.CARRIER,
            Text("kết nối được, nhưng độ trễ khứ hồi vượt ngưỡng", "reached, but the round trip takes too long"),
            Text(
                "yêu cầu doanh nghiệp viễn thông cho biết tuyến; tìm chặng vệ tinh hoặc đường vòng",
                "ask the carrier for the path; look for a satellite or a detour",
            ),
        ),
        (Outcome.REACHED, "jitter"): Situation(
            Owner.CARRIER,
            Text("kết nối được, nhưng biến động trễ (jitter) vượt ngưỡng", "reached, but the jitter is over the limit"),
            Text(
                "tìm đoạn cuối dùng chung hoặc quá tải; yêu cầu ưu tiên các gói có đánh dấu",
                "look for a shared or overloaded last mile; ask for priority of marked packets",
            ),
        ),
        (Outcome.REACHED, "slow_answer"): Situation(
            Owner.ROOM,
            Text("kết nối được, nhưng trả lời chậm", "reached, but it took long to answer"),
            Text(
                "bật tự động trả lời không chờ; xem thiết bị có phải thức dậy từ chế độ chờ không",
                "switch on auto-answer without delay; look whether the codec wakes from standby",
            ),
        ),
        (Outcome.REACHED, "hung_up"): Situation(
            Owner.ROOM,
            Text("kết nối được, nhưng điểm cầu ngắt trước khi đo xong", "reached, but the room hung up before the end"),
            Text(
                "hỏi xem có ai ngắt cuộc gọi; tìm giới hạn thời gian phiên trong thiết bị",
                "ask whether somebody ended the call; look for a session limit in the codec",
            ),
        ),
        (Outcome.REACHED, "bye_unanswered"): Situation(
            Owner.ROOM,
            Text(
                "kết nối được; điểm cầu không trả lời hoặc không nhận lệnh kết thúc (BYE)",
                "reached; our BYE was not answered, or not accepted",
            ),
            Text(
                "khởi động lại thiết bị nếu cuộc gọi sau báo bận: có thể nó tưởng cuộc gọi trước còn giữ",
                "restart the codec if its next call finds it busy: it may believe the call is still up",
            ),
        ),
        (Outcome.REACHED, "options_only"): Situation(
            Owner.NOBODY,
            Text("SIP có trả lời; chưa đo âm thanh", "SIP answers; the media was not measured"),
            Text("gọi bằng một hồ sơ đo kiểu sip", "call it with a profile of kind sip"),
        ),
        (Outcome.BUSY, None): Situation(
            Owner.NOBODY, Text("đang bận trong cuộc gọi khác", "busy in another call"), _TRY_LATER
        ),
        (Outcome.BUSY, "everywhere"): Situation(
            Owner.NOBODY, Text("mọi thiết bị của điểm cầu đều đang bận", "every device of the room is busy"), _TRY_LATER
        ),
        (Outcome.NO_ANSWER, None): _RINGS,
        (Outcome.NO_ANSWER, "rings"): _RINGS,
        (Outcome.TIMEOUT, None): Situation(
            Owner.CARRIER,
            Text("mất kết nối: không có trả lời nào", "no response at all"),
            Text(
                "thiết bị đã bật và cắm dây chưa? rồi xem đường truyền, hoặc tường lửa chặn SIP",
                "is the equipment on and plugged in? then the line, or a firewall that drops SIP",
            ),
        ),
        (Outcome.TIMEOUT, "reported_by_peer"): Situation(
            Owner.CARRIER,
            Text("một máy chủ trên đường chờ điểm cầu mãi không được", "a server on the way gave up waiting"),
            Text(
                "như khi mất kết nối, nhưng ở phía sau máy chủ đó: nguồn điện, dây, đường truyền, tường lửa",
                "as for no response, but beyond that server: power, cable, line, firewall",
            ),
        ),
        (Outcome.UNREACHABLE, None): Situation(
            Owner.ROOM,
            Text("mất kết nối: địa chỉ từ chối gói tin", "refused: an ICMP error came back"),
            Text(
                "khởi động thiết bị đầu cuối; kiểm tra địa chỉ và cổng, rồi đường đi tới đó",
                "start the endpoint; check address and port, then the way to it",
            ),
        ),
        **NAME_SITUATIONS,
        (Outcome.NOT_FOUND, None): Situation(
            Owner.PROVINCE,
            Text("địa chỉ có trả lời, nhưng không có điểm cầu này", "the address answers, but knows no such room"),
            _SITE_LIST,
        ),
        (Outcome.NOT_FOUND, "gone"): Situation(
            Owner.PROVINCE,
            Text("điểm cầu đã rời khỏi địa chỉ này", "the room has left this address"),
            Text("ghi endpoint mới vào danh sách điểm cầu", "put the new endpoint into the site list"),
        ),
        (Outcome.NOT_FOUND, "address_incomplete"): Situation(
            Owner.PROVINCE, Text("địa chỉ gọi chưa đủ", "the address is incomplete"), _SITE_LIST
        ),
        (Outcome.NOT_FOUND, "ambiguous"): Situation(
            Owner.PROVINCE, Text("địa chỉ gọi ứng với nhiều điểm cầu", "the address fits several rooms"), _SITE_LIST
        ),
        (Outcome.UNAVAILABLE, None): Situation(
            Owner.PROVINCE,
            Text("máy chủ trên đường báo chưa phục vụ được", "a server on the way is out of order"),
            Text(
                "xem máy chủ đó: quá tải, cấu hình sai hay ngừng hoạt động",
                "look at that server: overloaded, misconfigured or down",
            ),
        ),
        (Outcome.UNAVAILABLE, "no_room_registered"): Situation(
            Owner.ROOM,
            Text("thiết bị của điểm cầu chưa đăng ký với máy chủ", "no device of the room is registered"),
            Text(
                "bật thiết bị đầu cuối; kiểm tra tài khoản và việc đăng ký của nó",
                "switch the endpoint on; check its account and registration",
            ),
        ),
        (Outcome.UNAVAILABLE, "redirected"): Situation(
            Owner.PROVINCE,
            Text("cuộc gọi bị chuyển hướng và không còn nơi nào để theo", "redirected, and nowhere left to follow"),
            Text(
                "bỏ chuyển tiếp, hoặc ghi đích của nó vào danh sách điểm cầu",
                "remove the forwarding, or put its target into the site list",
            ),
        ),
        (Outcome.UNAVAILABLE, "loop"): Situation(
            Owner.PROVINCE,
            Text("yêu cầu chạy vòng giữa các máy chủ", "requests run in a circle between servers"),
            Text("sửa định tuyến giữa các cầu (MCU)", "mend the routing between the bridges"),
        ),
        (Outcome.UNAVAILABLE, "ended_before_answer"): Situation(
            Owner.ROOM,
            Text("cuộc gọi kết thúc trước khi được trả lời", "the call ended before it was answered"),
            Text("xem nhật ký của thiết bị đầu cuối", "look into the endpoint's log"),
        ),
        (Outcome.DECLINED, None): Situation(
            Owner.ROOM,
            Text("điểm cầu từ chối cuộc gọi", "the room declined the call"),
            Text(
                "tắt chế độ không làm phiền, cho phép số gọi của ta; mã SIP nằm trong kết quả",
                'switch off "do not disturb", allow our caller; the SIP code stands in the result',
            ),
        ),
        (Outcome.DECLINED, "forbidden"): Situation(
            Owner.ROOM,
            Text("điểm cầu cấm số gọi của ta", "the room forbids our calls"),
            Text(
                "cho phép địa chỉ của ta trong danh sách truy cập của thiết bị hoặc cầu",
                "allow our address in the access list of endpoint or bridge",
            ),
        ),
        (Outcome.NOT_ACCEPTABLE, None): Situation(
            Owner.ROOM,
            Text("điểm cầu không nhận âm thanh G.711", "the room won't talk G.711"),
            Text("bật G.711 (PCMU hoặc PCMA) trong thiết bị", "switch on G.711 (PCMU or PCMA) in the endpoint"),
        ),
        (Outcome.NOT_ACCEPTABLE, "media_type"): Situation(
            Owner.ROOM, Text("điểm cầu không đọc được mô tả phiên (SDP)", "the room can't read our SDP"), _SOFTWARE
        ),
        (Outcome.NOT_ACCEPTABLE, "extension"): Situation(
            Owner.ROOM,
            Text("điểm cầu không hỗ trợ phần mở rộng SIP được yêu cầu", "the room can't do a SIP extension asked for"),
            _SOFTWARE,
        ),
        (Outcome.NOT_ACCEPTABLE, "no_audio"): Situation(
            Owner.ROOM,
            Text("trả lời nhưng trong SDP không có âm thanh", "answered without any audio in its SDP"),
            Text("bật âm thanh trên thiết bị", "switch on audio in the endpoint"),
        ),
        (Outcome.NOT_ACCEPTABLE, "media_rejected"): Situation(
            Owner.ROOM,
            Text("điểm cầu trả lời nhưng không mở âm thanh", "answered, but the audio was turned down"),
            Text("bật âm thanh trong thiết bị", "switch on audio in the endpoint"),
        ),
        (Outcome.AUTH_FAILED, None): Situation(
            Owner.PROVINCE,
            Text("điểm cầu hoặc máy chủ trung gian đòi tài khoản", "the room or a proxy wants an account"),
            Text(
                "cấp tài khoản cho ta, hoặc cho cuộc gọi thử vào không cần tài khoản",
                "give us an account, or let test calls in without one",
            ),
        ),
        (Outcome.AUTH_FAILED, "no_credentials"): Situation(
            Owner.OURS,
            Text(
                "điểm cầu hoặc máy chủ trung gian đòi tài khoản, mà ta chưa cấu hình tài khoản cho realm đó",
                "the room or a proxy wants an account, and none is configured here for its realm",
            ),
            Text(
                "xem realm trong trao đổi SIP, xin tài khoản rồi ghi vào mục credentials của bridge_monitor.yaml",
                "see the realm in the SIP ladder, ask for an account, put it under credentials in bridge_monitor.yaml",
            ),
        ),
        (Outcome.AUTH_FAILED, "credentials_refused"): Situation(
            Owner.PROVINCE,
            Text(
                "điểm cầu hoặc máy chủ trung gian không chấp nhận tài khoản của ta",
                "the room or a proxy refuses our account",
            ),
            Text(
                "so lại tên và mật khẩu hai bên; xem tài khoản có bị khóa hoặc hết hạn không",
                "compare name and password on both sides; look whether the account is locked or has expired",
            ),
        ),
        (Outcome.AUTH_FAILED, "challenge_unsupported"): Situation(
            Owner.PROVINCE,
            Text(
                "điểm cầu hoặc máy chủ trung gian đòi xác thực theo cách mà chương trình không hỗ trợ",
                "the room or a proxy wants a kind of authentication that this program doesn't have",
            ),
            Text(
                "bật Digest với MD5, SHA-256 hoặc SHA-512-256 (qop=auth), hoặc cho cuộc gọi thử vào tự do",
                "switch on Digest with MD5, SHA-256 or SHA-512-256 (qop=auth), or let test calls in without an account",
            ),
        ),
        **CONNECTIONS,
        (Outcome.NO_MEDIA, None): Situation(
            Owner.CARRIER,
            Text("trả lời nhưng không có âm thanh chiều nào", "answered, but no RTP either way"),
            Text(
                "tường lửa cho SIP qua mà chặn media UDP: mở các cổng RTP cả hai chiều",
                "a firewall lets SIP through and stops UDP media: open the RTP ports both ways",
            ),
        ),
        (Outcome.NO_MEDIA, "hung_up"): Situation(
            Owner.ROOM,
            Text("trả lời rồi ngắt ngay, chưa có âm thanh", "answered and hung up before any RTP came"),
            Text(
                "hỏi xem ai đã ngắt cuộc gọi; xem nhật ký của thiết bị",
                "ask whether somebody ended the call; look into the endpoint's log",
            ),
        ),
        (Outcome.ONE_WAY_MEDIA_IN, None): Situation(
            Owner.CARRIER,
            Text("ta nghe điểm cầu, điểm cầu không nghe ta", "we hear the room, it hears nothing of us"),
            Text(
                "chiều đến điểm cầu bị chặn: xem tường lửa hoặc NAT tại điểm cầu",
                "the way to the room is closed for media: firewall or address translation at the room",
            ),
        ),
        (Outcome.ONE_WAY_MEDIA_OUT, None): Situation(
            Owner.ROOM,
            Text("điểm cầu nghe ta, ta không nghe điểm cầu", "the room hears us, we hear nothing of it"),
            Text(
                "xem micrô, địa chỉ media của thiết bị, hoặc tường lửa ở chiều ra",
                "microphone path, the codec's media address, or a firewall on the way out",
            ),
        ),
        (Outcome.LARGE_PACKETS_LOST, None): Situation(
            Owner.CARRIER,
            Text("gói nhỏ qua được, gói cỡ hình ảnh thì không", "small packets pass, those of the size of video don't"),
            Text(
                "MTU của tuyến quá nhỏ mà không báo: có tiếng nhưng sẽ không có hình",
                "the path's MTU is too small and tells nobody: voice will work, pictures won't",
            ),
        ),
        (Outcome.WRONG_CODEC, None): Situation(
            Owner.ROOM,
            Text("điểm cầu dùng bộ mã âm thanh ta không đề nghị", "the room uses a codec we did not offer"),
            Text(
                "sửa danh sách bộ mã; kiểm tra phiên bản phần mềm của thiết bị",
                "mend the codec list; look at the endpoint's software version",
            ),
        ),
        (Outcome.PROTOCOL_ERROR, None): Situation(
            Owner.ROOM,
            Text("bản tin SIP hoặc SDP của điểm cầu không đọc được", "its SIP or SDP can't be read"),
            Text(
                "trao đổi SIP được giữ cùng kết quả: đưa cho hãng thiết bị",
                "the SIP ladder is kept with the result: show it to the equipment's maker",
            ),
        ),
        (Outcome.LOCAL_FAULT, None): Situation(
            Owner.OURS,
            Text("lỗi ở máy đo của ta, không nói gì về điểm cầu", "our own fault, which says nothing of the room"),
            Text(
                "xem bridge_monitor_measurements_invalid_total và tải của máy này",
                "look at bridge_monitor_measurements_invalid_total and at this machine's load",
            ),
        ),
        (Outcome.CANCELLED, None): Situation(
            Owner.NOBODY,
            Text("cuộc gọi thử đã được dừng giữa chừng", "the test call was stopped midway"),
            Text("không cần làm gì; cuộc gọi đã kết thúc đúng cách", "nothing; the call was ended properly"),
        ),
        (Outcome.REFUSED, None): Situation(Owner.NOBODY, Text("chưa được gọi", "not placed"), _WAIT),
        (Outcome.REFUSED, "outside_window"): Situation(
            Owner.NOBODY,
            Text("ngoài thời gian kiểm tra đường truyền", "outside the rehearsal windows"),
            _WAIT,
        ),
        (Outcome.REFUSED, "quiet_hours"): Situation(
            Owner.NOBODY, Text("đang trong giờ nghỉ, không gọi", "these are quiet hours"), _WAIT
        ),
        (Outcome.REFUSED, "guard"): Situation(
            Owner.NOBODY,
            Text("sắp khai mạc, các phòng đã có người", "the conference is about to begin, people are in the rooms"),
            _WAIT,
        ),
        (Outcome.REFUSED, "conference"): Situation(
            Owner.NOBODY, Text("hội nghị truyền hình đang diễn ra", "the conference is on"), _WAIT
        ),
        (Outcome.REFUSED, "cap"): Situation(
            Owner.NOBODY,
            Text("đã đủ số cuộc gọi hoặc băng thông cho phép", "the caps on calls or bandwidth are used up"),
            _WAIT,
        ),
        (Outcome.REFUSED, "site_in_call"): Situation(
            Owner.NOBODY, Text("điểm cầu đang có cuộc gọi thử khác", "the site is in another test call"), _WAIT
        ),
        (Outcome.REFUSED, "too_soon"): Situation(
            Owner.NOBODY,
            Text("vừa mới gọi điểm cầu này", "the site was called only a moment ago"),
            _WAIT,
        ),
        (Outcome.REFUSED, "unknown_site"): Situation(
            Owner.NOBODY,
            Text("điểm cầu không có trong kế hoạch gọi", "the site is not in the plan of calls"),
            Text("xem danh sách: `bridge-monitor sites list`", "see `bridge-monitor sites list`"),
        ),
        (Outcome.REFUSED, "not_testable"): Situation(
            Owner.NOBODY,
            Text("điểm cầu không kiểm tra được từ đây", "the site is not testable from here"),
            Text("xem lý do: `bridge-monitor sites show`", "see `bridge-monitor sites show`"),
        ),
    }
)
