"""What can be saved of an unreadable response: whose it is, and enough of it to end its call properly.

Owns guesses; used only after the parser has refused a message, and never to let one pass as good.
"""

from __future__ import annotations

from bridge_monitor.errors import SipSyntaxError
from bridge_monitor.sip.client_transactions import ClientTransaction, RequestPlan
from bridge_monitor.sip.core import Core
from bridge_monitor.sip.events import Address
from bridge_monitor.sip.grammar import readable
from bridge_monitor.sip.headers import parse_name_addr
from bridge_monitor.sip.message import Message, Response


def claimed_call_id(message: Message | None, data: bytes) -> str | None:
    """Return the Call-ID that a message seems to have, or None."""
    if message is not None:
        found = message.get("call-id")
        return readable(found) if found else None
    for line in data[:8192].split(b"\n"):
        name, colon, value = line.partition(b":")
        if colon and name.strip().lower() in (b"call-id", b"i"):
            return value.strip().decode("utf-8", "replace") or None
    return None


def find_transaction(
    core: Core, message: Message | None, call_id: str | None, source: Address
) -> ClientTransaction | None:
    """Return the client transaction that an unreadable response belongs to.

    By branch if that can be read; else the only one pending to that address, of that Call-ID if one can be read.
    """
    if message is not None:
        try:
            branch = message.via.branch
        except (SipSyntaxError, KeyError):
            branch = ""
        for method in ("INVITE", "BYE", "OPTIONS"):
            transaction = core.clients.get((branch, method))
            if transaction is not None:
                return transaction
    candidates = [
        transaction
        for transaction in core.pending.get(source, ())
        if transaction.plan.method != "CANCEL" and call_id in (None, transaction.plan.call_id)
    ]
    return candidates[0] if len(candidates) == 1 else None


def repair(response: Response, plan: RequestPlan) -> Response:
    """Return the response with what our request knows better put in place; only To may stay as the peer wrote it."""
    to = response.get("to")
    try:
        parse_name_addr(to or "", "To")
    except SipSyntaxError:
        to = None
    headers = {
        "via": [plan.via],
        "from": [plan.from_],
        "to": [to or plan.to],
        "call-id": [plan.call_id],
        "cseq": [f"{plan.cseq} {plan.method}"],
    }
    for name in ("contact", "record-route"):
        if name in response.headers:
            headers[name] = response.headers[name]
    return Response(response.status, response.reason, headers)


def stray_plan(response: Response, source: Address) -> RequestPlan:
    """Return what the INVITE must have been that a stray 2xx answers."""
    return RequestPlan(
        method="INVITE",
        uri=response.to.uri,
        branch=response.via.branch,
        via=response.headers["via"][0],
        from_=response.headers["from"][0],
        to=response.headers["to"][0],
        call_id=response.call_id,
        cseq=response.cseq[0],
        destination=source,
    )


def without_route(response: Response) -> Response:
    """Return the response without Contact and Record-Route: its dialog is then where its INVITE went."""
    kept = {name: values for name, values in response.headers.items() if name not in ("contact", "record-route")}
    return Response(response.status, response.reason, kept, response.body)
