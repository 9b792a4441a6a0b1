"""A far end that shows what it receives, by FFmpeg: ``watching_room.py HOST PORT PICTURES``.

Prints the digest of each decoded picture. Shares no code with the package.
"""

import hashlib
import itertools
import sys
import tempfile
from pathlib import Path

import av

host, port, wanted = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
description = f"""v=0
o=- 0 0 IN IP4 {host}
s=-
c=IN IP4 {host}
t=0 0
m=video {port} RTP/AVP 96
a=rtpmap:96 H264/90000
a=fmtp:96 packetization-mode=1;profile-level-id=42e01f
"""
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "room.sdp"
    path.write_text(description, encoding="ascii")
    print("ready", flush=True)  # noqa: T201 - the test waits for it
    options = {"protocol_whitelist": "file,udp,rtp", "buffer_size": "4000000"}
    with av.open(str(path), options=options, timeout=20) as source:
        for frame in itertools.islice(source.decode(video=0), wanted):
            print(hashlib.sha256(frame.to_ndarray().tobytes()).hexdigest())  # noqa: T201 - its output
