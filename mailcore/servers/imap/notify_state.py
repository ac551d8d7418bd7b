"""The state of NOTIFY (RFC 5465): the events a session requested, and the mailbox states it was sent last.

A notification wakes the session (see `Session.on_notification`), which then checks the changed mailboxes and the list
of mailboxes here. The client's own changes are sent like those of others.
"""

from typing import TYPE_CHECKING

from mailcore.servers.imap.commands.mailbox import list_mailboxes
from mailcore.store.mailbox import mailboxes
from mailcore.store.mailbox.mailboxes import ListedMailbox, MailboxStatus
from mailcore.wire.imap.syntax import notify_syntax as wire
from mailcore.wire.imap.syntax.list_syntax import ListArguments

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Session

# HIGHESTMODSEQ also without CONDSTORE: a change of flags shows in nothing else (RFC 5465 §3.1, §5.3).
_STATUS_ITEMS = ("MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "HIGHESTMODSEQ")
_SHOWN = ListArguments("", (), returns=frozenset({"SUBSCRIBED"}))


class NotifyState:
    def __init__(self, request: wire.NotifyRequest) -> None:
        self._groups = request.groups
        self.selected = next((group for group in request.groups if group.selected), None)
        self._names: dict[str, ListedMailbox] = {}  # The names that LIST would show.
        self._statuses: dict[int, MailboxStatus] = {}  # Of watched mailboxes, by id.
        self._changed: set[int] = set()

    def is_watching(self, mailbox_id: int) -> bool:
        return mailbox_id in self._statuses

    def on_notification(self, mailbox_id: int) -> None:
        self._changed.add(mailbox_id)

    def events(self, listed: ListedMailbox) -> frozenset[str]:
        """Return a mailbox's events: the first group that covers it decides (RFC 5465 §3.1)."""
        for group in self._groups:
            if group.scope.covers(listed.name, listed.subscribed):
                return group.events
        return frozenset()

    async def begin(self, session: "Session", with_status: bool) -> None:
        await self._refresh_names(session)
        selected = session.view.box.id if session.view is not None else 0
        if with_status:
            for status in self._statuses.values():
                if status.mailbox_id != selected:
                    _send_status(session, status)

    def end(self, session: "Session") -> None:
        assert session.owner is not None
        selected = session.view.box.id if session.view is not None else 0
        session.server.unwatch(-session.owner.account_id, session)
        for mailbox_id in self._statuses:
            if mailbox_id != selected:
                session.server.unwatch(mailbox_id, session)

    async def send_updates(self, session: "Session") -> None:
        """Send updates for all notifications since the last call, except those about the selected mailbox."""
        assert session.owner is not None
        changed, self._changed = self._changed, set()
        if -session.owner.account_id in changed:
            before = self._names
            await self._refresh_names(session)
            self._send_name_changes(session, before)
        selected = session.view.box.id if session.view is not None else 0
        for mailbox_id in sorted(changed & self._statuses.keys()):
            await self._check_mailbox(session, mailbox_id, silent=mailbox_id == selected)

    async def _refresh_names(self, session: "Session") -> None:
        assert session.owner is not None
        everything = await session.executor.run_in_pool(mailboxes.list_mailboxes, session.owner)
        self._names = {listed.name: listed for listed in everything}
        watched_names = [
            listed.name for listed in everything if listed.selectable and self.events(listed) & wire.MESSAGE_EVENTS
        ]
        found = await session.executor.run_in_pool(mailboxes.mailbox_status, session.owner, watched_names)
        fresh = {status.mailbox_id: status for status in found.values()}
        selected = session.view.box.id if session.view is not None else 0
        for gone in self._statuses.keys() - fresh.keys() - {selected}:
            session.server.unwatch(gone, session)
        self._statuses = {id_: self._statuses.get(id_, status) for id_, status in fresh.items()}
        for watched in (*fresh, -session.owner.account_id):
            session.server.watch(watched, session)

    def _send_name_changes(self, session: "Session", before: dict[str, ListedMailbox]) -> None:
        """Send LIST responses for changed names (RFC 5465 §5.4, §5.5)."""
        parents = list_mailboxes.parent_names(self._names.values())
        names_by_id = {listed.id: name for name, listed in before.items() if listed.exists}
        moved: set[str] = set()
        for name, now in self._names.items():
            then = before.get(name)
            events = self.events(now)
            old = names_by_id.get(now.id, "") if now.exists else ""
            renamed = old if old and old != name else ""
            moved |= {renamed} - {""}
            appeared = now.exists and (then is None or not then.exists or then.selectable != now.selectable)
            subscribed = now.subscribed != (then is not None and then.subscribed)
            if ((appeared or renamed) and "MAILBOXNAME" in events) or (subscribed and "SUBSCRIPTIONCHANGE" in events):
                session.write(list_mailboxes.list_response(session, now, parents, _SHOWN, old_name=renamed))
        for name, then in before.items():
            now = self._names.get(name) or ListedMailbox(0, name, "", False, False, exists=False)
            events = self.events(then)
            vanished = then.exists and not now.exists and name not in moved
            unsubscribed = name not in self._names and then.subscribed
            if (vanished and "MAILBOXNAME" in events) or (unsubscribed and "SUBSCRIPTIONCHANGE" in events):
                session.write(list_mailboxes.list_response(session, now, parents, _SHOWN))

    async def _check_mailbox(self, session: "Session", mailbox_id: int, silent: bool) -> None:
        then = self._statuses[mailbox_id]
        name = next((name for name, listed in self._names.items() if listed.id == mailbox_id), then.name)
        found = await session.executor.run_read(mailboxes.mailbox_status, session.owner, [name])
        now = found.get(name)
        if now is None or now.mailbox_id != mailbox_id:
            return
        self._statuses[mailbox_id] = now
        arrived = now.uid_next - then.uid_next
        happened = {
            "MESSAGENEW": arrived > 0,
            "MESSAGEEXPUNGE": now.messages < then.messages + arrived,
            # Or other changes that raise MODSEQ: one STATUS is enough.
            "FLAGCHANGE": now.highest_modseq > then.highest_modseq,
        }
        events = self.events(self._names[name]) if name in self._names else frozenset()
        if not silent and any(happened[event] for event in events & wire.MESSAGE_EVENTS):
            _send_status(session, now)


def _send_status(session: "Session", status: MailboxStatus) -> None:
    session.write(list_mailboxes.status_response(session, status, _STATUS_ITEMS))
