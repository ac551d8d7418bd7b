"""Threading algorithms (RFC 5256 §3): REFERENCES, REFS and ORDEREDSUBJECT.

REFS uses references only and puts the newest thread last. Everything is iterative, so a chain of ten thousand replies
needs no deep stack. Input and output are message numbers.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

ALGORITHMS = ("REFERENCES", "REFS", "ORDEREDSUBJECT")


class ThreadInput(NamedTuple):
    """The data of one message that threading needs."""

    number: int
    message_id: str
    references: str  # ids, oldest first, separated by spaces
    subject: str  # base subject, folded
    is_reply: bool
    sent_at: int


@dataclass(slots=True)
class ThreadNode:
    """A message, or (number 0) a placeholder for a missing one."""

    number: int = 0
    sent_at: int = 0
    subject: str = ""
    is_reply: bool = False
    parent: "ThreadNode | None" = None
    children: "list[ThreadNode] | None" = None
    order: int = 0
    has_below: bool = False  # something was put below it while messages are linked

    def put_below(self, parent: "ThreadNode") -> None:
        self.parent = parent
        parent.has_below = True

    def add(self, child: "ThreadNode") -> None:
        child.parent = self
        if self.children is None:
            self.children = [child]
        else:
            self.children.append(child)


def thread_by_subject(messages: Sequence[ThreadInput]) -> list[ThreadNode]:
    """Group messages by base subject: the first by date is the parent of the others (RFC 5256 §3)."""
    roots: dict[str, ThreadNode] = {}
    for message in sorted(messages, key=lambda each: (each.subject, each.sent_at, each.number)):
        node = ThreadNode(message.number, message.sent_at)
        root = roots.setdefault(message.subject, node)
        if root is not node:
            root.add(node)
    return sorted(roots.values(), key=_by_date)


def thread_by_references(messages: Sequence[ThreadInput], by_subject: bool = True) -> list[ThreadNode]:
    """Return threads by REFERENCES; without `by_subject` by REFS, sorted by their newest messages."""
    nodes = _link_replies(messages)
    roots = _prune_missing(node for node in nodes if node.parent is None)
    if by_subject:
        _sort(roots)
        roots = _merge_by_subject(roots)
        _sort(roots)
        return roots
    _sort(roots)
    return sorted(roots, key=_newest)


def _link_replies(messages: Sequence[ThreadInput]) -> list[ThreadNode]:
    """Link each message to its parent (step 1 of REFERENCES)."""
    by_id: dict[str, ThreadNode] = {}
    nodes: list[ThreadNode] = []
    for message in messages:
        node = by_id.get(message.message_id) if message.message_id else None
        if node is None or node.number:  # no id, or an id that another message has already
            is_new = True
            node = ThreadNode()
            nodes.append(node)
            if message.message_id:
                by_id.setdefault(message.message_id, node)
        else:
            is_new = False
        node.number, node.sent_at = message.number, message.sent_at
        node.subject, node.is_reply = message.subject, message.is_reply
        parent = None
        if message.references:
            chain = message.references.split(" ")
            # A message that no reference named before, nor names itself, has nothing below it.
            is_new = is_new and message.message_id not in chain
            for reference in chain:
                other = by_id.get(reference)
                if other is None:
                    other = by_id[reference] = ThreadNode()
                    nodes.append(other)
                if parent is not None and other.parent is None and other is not parent and not _is_above(other, parent):
                    other.put_below(parent)
                parent = other
        if parent is not None and parent is not node and (is_new or not _is_above(node, parent)):
            node.put_below(parent)
        elif not is_new and parent is None:
            node.parent = None  # its own header says that it has no parent
    for node in nodes:
        if node.parent is not None:
            node.parent.add(node)
    return nodes


def _is_above(node: ThreadNode, other: ThreadNode) -> bool:
    """Return True if `node` is an ancestor of `other`.

    The walk is skipped for a node with nothing below: one message may name 20,000 others, each below the last.
    """
    if not node.has_below:
        return False
    above: ThreadNode | None = other
    while above is not None:
        if above is node:
            return True
        above = above.parent
    return False


def _prune_missing(roots: Iterable[ThreadNode]) -> list[ThreadNode]:
    """Remove placeholders (step 3); their children move up but stay together at the top."""
    remaining: list[ThreadNode] = []
    for root in roots:
        _prune_below(root)
        if root.number:
            remaining.append(root)
        elif root.children:
            remaining += root.children if len(root.children) == 1 else [root]
    return remaining


def _prune_below(root: ThreadNode) -> None:
    order = [root]
    for node in order:  # the list grows during iteration: parents come before children
        order += node.children or ()
    for node in reversed(order):
        if node.children and not all(child.number for child in node.children):
            merged: list[ThreadNode] = []
            for child in node.children:
                merged += [child] if child.number else child.children or ()
            node.children = merged


def _by_date(node: ThreadNode) -> tuple[int, int]:
    """Return the sort key of a thread: its date; a placeholder has the date of its first child (step 4)."""
    if not node.number and node.children:
        node = node.children[0]
    return node.sent_at, node.number


def _sort(roots: list[ThreadNode]) -> None:
    order = list(roots)
    for node in order:
        order += node.children or ()
    for node in reversed(order):
        if node.children and len(node.children) > 1:
            node.children.sort(key=_by_date)
    roots.sort(key=_by_date)


def _newest(root: ThreadNode) -> tuple[int, int]:
    newest = (0, 0)
    order = [root]
    for node in order:
        newest = max(newest, (node.sent_at, node.number))
        order += node.children or ()
    return newest


def _merge_by_subject(roots: list[ThreadNode]) -> list[ThreadNode]:
    """Merge threads with the same subject (step 5)."""
    by_subject: dict[str, ThreadNode] = {}
    for root in roots:
        first = _representative(root)
        if not first.subject:
            continue
        known = by_subject.get(first.subject)
        if (
            known is None
            or (not root.number and known.number)
            or (_representative(known).is_reply and not first.is_reply and known.number)
        ):
            by_subject[first.subject] = root
    remaining: list[ThreadNode] = []
    for root in roots:
        first = _representative(root)
        known = by_subject.get(first.subject) if first.subject else None
        if known is None or known is root:
            remaining.append(root)
        else:
            _merge_threads(known, root, remaining)
    return remaining


def _representative(root: ThreadNode) -> ThreadNode:
    """Return the message whose subject stands for the thread."""
    return root if root.number or not root.children else root.children[0]


def _merge_threads(known: ThreadNode, root: ThreadNode, remaining: list[ThreadNode]) -> None:
    if not known.number and not root.number:
        for child in root.children or ():
            known.add(child)
    elif not known.number or (root.number and root.is_reply and not known.is_reply):
        known.add(root)
    elif not root.number:
        for child in root.children or ():
            known.add(child)
    else:  # neither is a reply: both become children of a placeholder
        twin = ThreadNode(known.number, known.sent_at, known.subject, known.is_reply, None, known.children)
        known.number = 0
        known.children = [twin, root]


def format_threads(roots: Iterable[ThreadNode], number: Callable[[int], int] | None = None) -> bytes:
    """Return the THREAD response (1 2 (3)(4 5)) (RFC 5256 §4); `number` maps UIDs to sequence numbers."""
    out: list[str] = []
    for root in roots:
        _format_thread(root, out, number)
    return "".join(out).encode("ascii")


def _format_thread(root: ThreadNode, out: list[str], number: Callable[[int], int] | None) -> None:
    waiting: list[ThreadNode | None] = [root]  # None closes a parenthesis
    while waiting:
        node = waiting.pop()
        if node is None:
            out.append(")")
            continue
        chain: list[str] = []
        while True:
            if node.number:
                chain.append(str(node.number if number is None else number(node.number)))
            if node.children is None or len(node.children) != 1:
                break
            node = node.children[0]
        out.append("(" + " ".join(chain))
        waiting.append(None)
        if node.children:
            if chain:
                out.append(" ")
            waiting += reversed(node.children)
