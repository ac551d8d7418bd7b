"""Going through restriction lists for one question, as Postfix's smtpd does (postconf(5), access(5)).

A restriction looks at the question and returns a decision: a Reply (refused, or asked to come again), PERMIT,
or None when it has nothing to say; the first decision ends its list. `Evaluation` carries what outlives one
restriction: deferrals that wait for the end, actions a table asked for, warnings in the place of refusals.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

from mailcore.values import Actions, Client, Reply, Route

PERMIT: Final = "permit"
Result = Reply | Literal["permit"] | None

_DEEPEST = 100  # tables and classes that name each other


class Misconfigured(Exception):
    """The configuration makes no sense here: the client is told 451 4.3.5, the log why."""


@dataclass(frozen=True, slots=True)
class RestrictionInput:
    """What is known when a command is judged; None for what the client has not said."""

    stage: str  # CONNECT, HELO, MAIL, RCPT, VRFY, DATA, END-OF-MESSAGE, ETRN
    client: Client
    sender: str | None = None  # "" is the null sender
    recipient: str | None = None  # at DATA and after it, of a message with a single one
    size: int = 0  # bytes: announced, and after the message its own
    recipients: int = 0  # how many were accepted before
    queue_id: str = ""
    etrn_domain: str | None = None
    instance: str = ""  # the same for all questions about one message

    @property
    def client_label(self) -> str:
        return f"{self.client.name}[{self.client.address}]"


@dataclass(frozen=True, slots=True)
class Step:
    """One restriction that was evaluated, for `post.explain`."""

    parameter: str  # smtpd_recipient_restrictions, or the class or table entry that named it
    restriction: str
    result: str  # permit, dunno, or the reply
    depth: int = 0


@dataclass(frozen=True, slots=True)
class CompiledRestriction:
    """A restriction with the function that evaluates it."""

    name: str
    argument: str
    check: "Callable[[Evaluation, str], Result] | None"  # None: warn_if_reject


class RestrictionCompiler(Protocol):
    """What turns the words of a table entry into restrictions (`lists.Lists`)."""

    def compile(self, words: Sequence[str]) -> tuple[CompiledRestriction, ...]: ...


class Evaluation:
    """All lists for one question, in order. `trace`, where given, gets every step."""

    def __init__(self, question: RestrictionInput, lists: RestrictionCompiler, trace: list[Step] | None = None) -> None:
        self.question = question
        self.lists = lists
        self.actions = Actions()
        self.notes: list[tuple[str, str]] = []  # (what, text) for the log: ("hold", …)
        self.subject = ("", "")  # what the list is about, as replies name it: ("a@b", "Recipient address")
        self.way: Route | None = None  # the recipient's, once reject_unlisted_recipient has looked
        self._trace = trace
        self._warning = False
        self._depth = 0
        self._if_permit: Reply | None = None
        self._if_reject: Reply | None = None

    def begin(self) -> None:
        """A new stage: what would turn refusals into deferrals was about the stage before."""
        self._if_reject = None

    def run(self, parameter: str, subject: tuple[str, str], restrictions: Sequence[CompiledRestriction]) -> Result:
        """The list's decision. Misconfigured."""
        outer, self.subject = self.subject, subject
        try:
            return self._follow(parameter, restrictions)
        finally:
            self.subject = outer

    def follow(self, parameter: str, restrictions: Sequence[CompiledRestriction]) -> Result:
        """A list within a list: a class, or what a table entry names."""
        if self._depth >= _DEEPEST:
            raise Misconfigured(f"{parameter} causes unreasonable recursion")
        self._depth += 1
        try:
            return self._follow(parameter, restrictions)
        finally:
            self._depth -= 1

    def _follow(self, parameter: str, restrictions: Sequence[CompiledRestriction]) -> Result:
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
        """Evaluate one restriction; its step stands before those of what it names."""
        assert restriction.check is not None
        name, argument = restriction.name, restriction.argument
        words = f"{name} {argument}" if argument not in ("", name) else name
        place = len(trace)
        trace.append(Step(parameter, words, "", self._depth))
        result = restriction.check(self, restriction.argument)
        trace[place] = replace(trace[place], result=str(result or "dunno"))
        return result

    # --- What restrictions decide -----------------------------------------------------------------

    def reject(self, code: int, enhanced: str, text: str) -> Result:
        """Refuse, unless warn_if_reject stands before; a deferral that waited for a refusal comes instead."""
        reply = _checked_reply(code, enhanced, text)
        if self._warning:
            self.notes.append(("reject_warning", str(reply)))
            return None
        if reply.code >= 500 and self._if_reject is not None:
            return self._if_reject
        return reply

    def defer_if_permit(self, code: int, enhanced: str, text: str) -> Result:
        """What comes out as permitted is put off instead: something that could have refused it failed."""
        if self._warning:
            return self.reject(code, enhanced, text)
        self._if_permit = self._if_permit or _checked_reply(code, enhanced, text)
        return None

    def defer_if_reject(self, code: int, enhanced: str, text: str) -> None:
        """What comes out as refused is put off instead: something that could have permitted it failed."""
        self._if_reject = self._if_reject or _checked_reply(code, enhanced, text)

    def permitted(self) -> Result:
        """At the end of all lists, when none refused: the deferral that waited for this."""
        if self._if_permit is None or self.actions.discard:
            return None
        return self.reject(self._if_permit.code, self._if_permit.enhanced, self._if_permit.text)

    def act(self, what: str, text: str, **change: object) -> None:
        """Remember an action for the message, should it be accepted."""
        self.actions = replace(self.actions, **change)  # type: ignore[arg-type]
        self.notes.append((what, text))


def _checked_reply(code: int, enhanced: str, text: str) -> Reply:
    """Codes come from tables and parameters too: what is no refusal becomes Postfix's "try again"."""
    if not 400 <= code <= 599:
        return Reply(450, "4.7.1", "Service unavailable")
    return Reply(code, f"{code // 100}{enhanced[1:]}", text[:480])
