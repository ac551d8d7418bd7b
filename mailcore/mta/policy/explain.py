"""Explanation of what a client would be answered and where its message would go, for `manage.py explain` and screens.

Evaluates exactly what SMTP evaluates at RCPT, with a trace of every step; changes and logs nothing.
"""

from dataclasses import dataclass

from mailcore.mta.dns import resolver
from mailcore.mta.policy import accept
from mailcore.mta.policy.restrictions import RestrictionInput, Step
from mailcore.mta.routing import alias_expansion
from mailcore.mta.routing.route import route_address
from mailcore.store.mailbox import quota_limits
from mailcore.values import (
    Actions,
    Client,
    Command,
    Directory,
    Expanded,
    Local,
    MboxFile,
    Refused,
    Remote,
    Reply,
    Route,
)


@dataclass(frozen=True, slots=True)
class Node:
    """An address and its targets. `kind`: alias, mailbox, remote, command, directory, file, refused, loop."""

    address: str
    kind: str
    where: str = ""  # The mailbox's address, the next hop, the command, or the reason of a refusal.
    quota: Reply | None = None  # The refusal of a full mailbox, None if it has space.
    children: tuple["Node", ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    accepted: bool
    reply: Reply
    steps: tuple[Step, ...]
    notes: tuple[tuple[str, str], ...]  # What else would be logged: ("hold", …).
    actions: Actions
    tree: Node | None  # The recipient's destinations; None if the message would be discarded or rejected before.


def explain_delivery(
    client_address: str,
    sender: str,
    recipient: str,
    *,
    helo: str = "",
    login: str = "",
    size: int = 0,
    tls: str = "",
    client_name: str | None = None,
) -> Explanation:
    """Explain the result for a message of `size` bytes (0: not announced) from a client.

    `login` is "" for an unauthenticated client. If `client_name` is None the DNS is queried, if a restriction needs the
    name.
    """
    names = resolver.PeerName()
    if client_name is not None:
        names = resolver.PeerName(client_name, client_name)
    elif accept.needs_client_names():
        names = resolver.lookup_client_name(client_address)
    client = Client(
        client_address,
        names.name,
        helo,
        ("ESMTP" if helo else "SMTP") + ("S" if tls else "") + ("A" if login else ""),
        login,
        tls,
        reverse_name=names.reverse_name,
        name_trouble=names.name_trouble,
        reverse_trouble=names.reverse_trouble,
    )
    too_big = accept.check_size(size)
    if too_big is not None:
        return Explanation(False, too_big, (), (), Actions(), None)
    verdict, evaluation, steps = accept.explain_recipient(RestrictionInput("RCPT", client, sender, recipient, size))
    target = verdict.actions.redirect or recipient
    return Explanation(
        verdict.accepted,
        verdict.reply,
        tuple(steps),
        tuple(evaluation.notes),
        verdict.actions,
        None if verdict.actions.discard else trace_destinations(target, sender, size),
    )


def trace_destinations(address: str, sender: str = "", size: int = 0) -> Node:
    """Return the tree of an address's destinations: its aliases, their targets, and so on."""
    return _visit_address(alias_expansion.qualify(address), sender, size, frozenset())


def _visit_address(address: str, sender: str, size: int, ancestors: frozenset[str]) -> Node:
    if address in ancestors:
        return Node(address, "loop", "named above")
    _, targets, special = alias_expansion.lookup_alias(address)
    if targets is None:
        return _leaf_node(address, route_address(address, final=True, sender=sender), size)
    seen = ancestors | {address}
    children = tuple(
        _leaf_node(target, route_address(target, final=True, sender=sender, kind=special.get(target, "")), size)
        if target == address or target in special
        else _visit_address(alias_expansion.qualify(target), sender, size, seen)
        for target in targets
    )
    return Node(address, "alias", children=children)


def _leaf_node(address: str, route: Route, size: int) -> Node:
    match route:
        case Local(account_id=account_id, address=mailbox):
            return Node(address, "mailbox", mailbox, quota_limits.check_room(account_id, size))
        case Remote(next_hop=next_hop):
            return Node(address, "remote", next_hop)
        case Command(command=command):
            return Node(address, "command", command)
        case Directory(path=path):
            return Node(address, "directory", path)
        case MboxFile(path=path):
            return Node(address, "file", path)
        case Refused(reply=reply):
            return Node(address, "refused", str(reply))
        case Expanded():
            return Node(address, "alias")
