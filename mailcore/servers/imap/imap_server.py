"""The IMAP listener: accepts connections, tracks sessions, and passes notifications to them.

Created by the server process, one per service; `listen` may be called for several sockets.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Coroutine, Iterable

from mailcore import conf
from mailcore.servers.concurrency.executor import Executor
from mailcore.servers.imap.imap_connection import ImapConnection
from mailcore.servers.imap.session import Session
from mailcore.servers.transport import proxy_protocol
from mailcore.servers.transport.proxy_protocol import Accepted, ProxiedListener
from mailcore.servers.transport.unauthenticated import CLOSE_GRACE, UnauthenticatedConnection, count_connection
from mailcore.store.mailbox import fulltext
from mailcore.store.notify import watchers
from mailcore.values import Owner
from mailcore.wire.imap.syntax.search_syntax import SearchKey, uses_texts

log = logging.getLogger("mailcore.imap")

_SWEEP = 5.0  # Seconds between two checks for idle connections.


class ImapServer:
    """An IMAP server.

    With `implicit_tls` (port 993) TLS begins at once, else STARTTLS is offered if there is a context.
    """

    def __init__(self, executor: Executor, tls_context: ssl.SSLContext | None, implicit_tls: bool) -> None:
        self.executor = executor
        self.tls_context = tls_context
        self._implicit_tls = implicit_tls
        self._listeners: list[asyncio.Server | ProxiedListener] = []
        self._sessions: set[Session] = set()
        self._unauthenticated: dict[Session, UnauthenticatedConnection] = {}  # Sessions that are not authenticated.
        self._watching: dict[int, set[Session]] = {}
        self._sessions_by_account: dict[int, set[Session]] = {}  # By account.
        self._sweeper: asyncio.TimerHandle | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._closing = False
        self._indexing: set[int] = set()  # Mailboxes whose full-text index is being built.

    @property
    def connections(self) -> int:
        """The number of connections."""
        return len(self._sessions)

    async def listen(self, sock: socket.socket) -> None:
        """Serve on a bound socket from now on."""
        loop = asyncio.get_running_loop()
        context = self.tls_context if self._implicit_tls else None
        if conf.current().haproxy_trusted_networks or context is not None:
            self._listeners.append(ProxiedListener(self._connect, sock, context, proxy_protocol.access_proxies))
        else:
            self._listeners.append(await loop.create_server(self._connect, sock=sock, ssl=context, backlog=1024))
        if self._sweeper is None:
            self._sweeper = loop.call_later(_SWEEP, self._sweep)

    def _connect(self, accepted: Accepted | None = None) -> ImapConnection:
        connection = ImapConnection(conf.current().imap_max_line_length, accepted)
        connection.attach(Session(self, connection))
        return connection

    async def close(self, grace: float) -> None:
        """Send BYE to all clients; running commands have `grace` seconds to finish."""
        self._closing = True
        for listener in self._listeners:
            listener.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        deadline = asyncio.get_running_loop().time() + grace
        for session in list(self._sessions):
            session.leaving = True
            if not session.connection.working:
                session.bye("Server shutting down.")
        while self._sessions and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
            for session in list(self._sessions):
                if not session.connection.working:
                    session.bye("Server shutting down.")
        for session in list(self._sessions):
            session.connection.abort()
        if self._background:
            await asyncio.wait(self._background, timeout=grace)

    # --- Sessions ---

    def add_session(self, session: Session) -> None:
        self._sessions.add(session)
        self._mark_unauthenticated(session)

    def _mark_unauthenticated(self, session: Session) -> None:
        """Count the session as unauthenticated: before authentication, or after UNAUTHENTICATE."""

        def drop(reason: str) -> None:
            session.bye(reason)
            # A client that reads nothing would keep the connection open for the unsent data.
            asyncio.get_running_loop().call_later(CLOSE_GRACE, session.connection.abort)

        self._unauthenticated[session] = count_connection(session.connection.peer, drop, session.connection.counted)

    def _mark_authenticated(self, session: Session) -> None:
        if (unauthenticated := self._unauthenticated.pop(session, None)) is not None:
            unauthenticated.release()

    def remove_session(self, session: Session) -> None:
        self._sessions.discard(session)
        if session.owner is not None:
            self.unregister_login(session)
        self._mark_authenticated(session)

    def register_login(self, session: Session, owner: Owner) -> bool:
        """Log a session in. Return False if the account has too many connections from its address, on this machine."""
        if not session.account_connection.acquire(owner, session.connection.peer):
            return False
        self._mark_authenticated(session)
        session.owner = owner
        self._sessions_by_account.setdefault(owner.account_id, set()).add(session)
        return True

    def unregister_login(self, session: Session) -> None:
        owner = session.owner
        assert owner is not None
        session.owner = None
        session.account_connection.release()
        sessions = self._sessions_by_account[owner.account_id]
        sessions.discard(session)
        if not sessions:
            del self._sessions_by_account[owner.account_id]
        self._mark_unauthenticated(session)

    # --- Notifications ---

    def watch(self, mailbox_id: int, session: Session) -> None:
        sessions = self._watching.setdefault(mailbox_id, set())
        if not sessions:
            watchers.watch(mailbox_id)
        sessions.add(session)

    def unwatch(self, mailbox_id: int, session: Session) -> None:
        sessions = self._watching.get(mailbox_id)
        if sessions is not None:
            sessions.discard(session)
            if not sessions:
                del self._watching[mailbox_id]
                watchers.unwatch(mailbox_id)

    @property
    def watched_ids(self) -> list[int]:
        """The ids that notifications are needed for: mailboxes, and accounts as negated ids."""
        return [*self._watching, *(-account_id for account_id in self._sessions_by_account)]

    def on_notifications(self, mailbox_ids: Iterable[int]) -> None:
        """Wake the sessions that watch these mailboxes; other sessions check at their next command."""
        for mailbox_id in mailbox_ids:
            for session in self._watching.get(mailbox_id, ()):
                session.on_notification(mailbox_id)
            for session in self._sessions_by_account.get(-mailbox_id, ()):
                # The account changed: the session is checked at once if it idles, else before its next command.
                session.needs_revalidation = True
                session.on_notification(mailbox_id)

    def in_background(self, work: Coroutine[None, None, None]) -> None:
        """Run a coroutine that no session waits for; it finishes before the server ends."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def on_search(self, mailbox_id: int, messages: int, key: SearchKey) -> None:
        """Start indexing a large mailbox's text after a full-text search, for the next search."""
        minimum = conf.current().text_index_messages
        if 0 < minimum <= messages and mailbox_id not in self._indexing and uses_texts(key):
            self._indexing.add(mailbox_id)
            self.in_background(self._index_texts(mailbox_id))

    async def _index_texts(self, mailbox_id: int) -> None:
        try:
            while not self._closing and await self.executor.run_in_pool(fulltext.index_more, mailbox_id):
                pass
        except Exception:
            log.exception("imap: texts of a mailbox were not indexed")
        finally:
            self._indexing.discard(mailbox_id)

    # --- Idle connections ---

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        parameters = conf.current()
        for session in list(self._sessions):
            silent = now - session.connection.last_heard
            if session.owner is None:
                continue  # login_timeout runs from the start (`unauthenticated`).
            if silent > parameters.imap_idle_timeout:
                if session.connection.working:
                    session.connection.abort()  # The client does not read its responses.
                else:
                    session.bye("Disconnected for inactivity.")
            elif not session.connection.working:
                session.send_heartbeat(now, parameters.imap_idle_notify_interval)
                session.check_external_files()
            elif silent > parameters.imap_progress_interval:
                session.send_progress(now, parameters.imap_progress_interval)
        self._sweeper = loop.call_later(_SWEEP, self._sweep)
