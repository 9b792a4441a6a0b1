from __future__ import annotations

import json

from bridge_monitor.domain import Evidence, LadderStep


def test_evidence_has_a_plain_form() -> None:
    step = LadderStep(0.5, sent=True, peer="192.0.2.7:5060", start_line="BYE", text="BYE sip:…")
    evidence = Evidence("0190", "00123", (step,), offer="v=0")
    plain = json.loads(json.dumps(evidence.to_dict()))
    assert plain["ladder"][0]["start_line"] == "BYE"
    assert plain["ladder"][0]["retransmission"] is False
    assert (plain["result_id"], plain["site"], plain["offer"], plain["answer"]) == ("0190", "00123", "v=0", None)
