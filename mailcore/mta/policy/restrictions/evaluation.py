"""Evaluation of restriction lists for one command, as in Postfix's smtpd (postconf(5), access(5)).

A restriction examines the input and returns a decision: a Reply (rejected or deferred), PERMIT, or None for no
decision; the first decision ends its list. `Evaluation` holds the state that outlives one restriction: pending
deferrals, actions requested by tables, warnings instead of rejections.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

from mailcore.values import Actions, Client, Reply, Route

PERMIT: Final = "permit"
Result = Reply | Literal["permit"] | None

_MAX_DEPTH = 100  # Nesting of tables and classes that refer to each other.


class Misconfigured(Exception):
    """The configuration is invalid here: the client gets 451 4.3.5, the log the reason."""


@dataclass(frozen=True, slots=True)
class RestrictionInput:
    """The facts known when a command is checked; None for what the client has not sent."""

    stage: str  # CONNECT, HELO, MAIL, RCPT, VRFY, DATA, END-OF-MESSAGE, ETRN.
    client: Client
    sender: str | None = None  # "" is the null sender.
    recipient: str | None = None  # At and after DATA only if the message has a single recipient.
    size: int = 0  # Bytes announced; after the message its actual size.
    recipients: int = 0  # Recipients accepted before.
    queue_id: str = ""
    etrn_domain: str | None = None
    instance: str = ""  # Equal in all requests about one message.

    @property
    def client_label(self) -> str:
        return f"{self.client.name}[{self.client.address}]"


@dataclass(frozen=True, slots=True)
class Step:
    """One evaluated restriction, for `mailcore.mta.policy.explain`."""

    parameter: str  # smtpd_recipient_restrictions, or the class or table entry that names the restriction.
    restriction: str
    result: str  # permit, dunno, or the reply.
    depth: int = 0


@dataclass(frozen=True, slots=True)
class CompiledRestriction:
    """A restriction with the function that evaluates it."""

    name: str
    argument: str
    check: "Callable[[Evaluation, str], Result] | None"  # None for warn_if_reject.


class RestrictionCompiler(Protocol):
    """Compiles the words of a table entry to restrictions (`restriction_lists.RestrictionLists`)."""

    def compile(self, words: Sequence[str]) -> tuple[CompiledRestriction, ...]: ...


class Evaluation:
    """The evaluation of all lists for one command, in order. `trace`, if given, gets every step."""

    def __init__(self, question: RestrictionInput, lists: RestrictionCompiler, trace: list[Step] | None = None) -> None:
        self.question = question
        self.lists = lists
        self.actions = Actions()
        self.notes: list[tuple[str, str]] = []  # (what, text) for the log: ("hold", …).
        self.subject = ("", "")  # The list's subject, as replies name it: ("a@b", "Recipient address").
        self.recipient_route: Route | None = None  # Set by reject_unlisted_recipient.
        self._trace = trace
        self._warning = False
        self._depth = 0
        self._if_permit: Reply | None = None
        self._if_reject: Reply | None = None

    def begin(self) -> None:
        """Start a new stage; pending defer_if_reject results of the previous stage do not apply."""
        self._if_reject = None

    def run(self, parameter: str, subject: tuple[str, str], restrictions: Sequence[CompiledRestriction]) -> Result:
        """Return the list's decision. Raise Misconfigured."""
        outer, self.subject = self.subject, subject
        try:
            return self._evaluate_list(parameter, restrictions)
        finally:
            self.subject = outer

    def follow(self, parameter: str, restrictions: Sequence[CompiledRestriction]) -> Result:
        """Evaluate a list within a list: a class, or the restrictions a table entry names."""
        if self._depth >= _MAX_DEPTH:
            raise Misconfigured(f"{parameter} causes unreasonable recursion")
        self._depth += 1
        try:
            return self._evaluate_list(parameter, restrictions)
        finally:
            self._depth -= 1

    def _evaluate_list(self, parameter: str, restrictions: Sequence[CompiledRestriction]) -> Result:
        outer = self._warning
        warning = outer
        try:
            for restriction in restrictions:
                if self.actions.discard:
                    break
                if restriction.check is None:
                    warning = True
                    continue
                self._warning = warning
                result = (
                    restriction.check(self, restriction.argument)
                    if self._trace is None
                    else self._traced(self._trace, parameter, restriction)
                )
                if result is not None:
                    return result
                if self._if_permit is not None and self._if_reject is not None:
                    break
                warning = outer
            return None
        finally:
            self._warning = outer

    def _traced(self, trace: list[Step], parameter: str, restriction: CompiledRestriction) -> Result:
        """Evaluate one restriction; its step precedes those of the restrictions it names."""
        assert restriction.check is not None
        name, argument = restriction.name, restriction.argument
        words = f"{name} {argument}" if argument not in ("", name) else name
        index = len(trace)
        trace.append(Step(parameter, words, "", self._depth))
        result = restriction.check(self, restriction.argument)
        trace[index] = replace(trace[index], result=str(result or "dunno"))
        return result

    # --- Decisions --------------------------------------------------------------------------------

    def reject(self, code: int, enhanced: str, text: str) -> Result:
        """Reject, unless warn_if_reject precedes; a pending defer_if_reject replaces the rejection."""
        reply = _checked_reply(code, enhanced, text)
        if self._warning:
            self.notes.append(("reject_warning", str(reply)))
            return None
        if reply.code >= 500 and self._if_reject is not None:
            return self._if_reject
        return reply

    def defer_if_permit(self, code: int, enhanced: str, text: str) -> Result:
        """Turn a later permit into a deferral: a check that could have rejected failed."""
        if self._warning:
            return self.reject(code, enhanced, text)
        self._if_permit = self._if_permit or _checked_reply(code, enhanced, text)
        return None

    def defer_if_reject(self, code: int, enhanced: str, text: str) -> None:
        """Turn a later rejection into a deferral: a check that could have permitted failed."""
        self._if_reject = self._if_reject or _checked_reply(code, enhanced, text)

    def permitted(self) -> Result:
        """Return the pending deferral, at the end of all lists if none rejected."""
        if self._if_permit is None or self.actions.discard:
            return None
        return self.reject(self._if_permit.code, self._if_permit.enhanced, self._if_permit.text)

    def act(self, what: str, text: str, **change: object) -> None:
        """Record an action for the message, applied if it is accepted."""
        self.actions = replace(self.actions, **change)  # type: ignore[arg-type]
        self.notes.append((what, text))


def _checked_reply(code: int, enhanced: str, text: str) -> Reply:
    """Return a rejection; any code from a table or parameter that is none becomes Postfix's "try again"."""
    if not 400 <= code <= 599:
        return Reply(450, "4.7.1", "Service unavailable")
    return Reply(code, f"{code // 100}{enhanced[1:]}", text[:480])
