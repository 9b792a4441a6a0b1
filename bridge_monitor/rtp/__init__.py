"""RTP and RTCP: packets, reports, and the arithmetic of reception, one call at a time and thousands at once.

Owns the numbers of RFC 3550 and what they mean; must not open sockets, read clocks or judge a line. Import the module
that is meant: `report` (summaries), `packet`, `rtcp`, `peer_reports`, `reception` and `echo` (scalar and vector).
"""
