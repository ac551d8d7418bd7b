"""Django authentication backend for PAM: Unix accounts, sssd, or any module of /etc/pam.d/PAM_SERVICE.

Named in the Django setting AUTHENTICATION_BACKENDS. The account must exist in the database, since its mail does; PAM
gets the local part of its address. Checking shadow passwords takes root, or a module with its own helper (pam_unix's
unix_chkpwd checks only the password of the user who runs it).
"""

import ctypes
import logging
from ctypes import CFUNCTYPE, POINTER, Structure, byref, c_char_p, c_int, c_void_p, cast, sizeof
from typing import Any

from django.conf import settings
from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest

from mailcore.models import Account
from mailcore.store.auth.account_login import AccountBackend, full_address

log = logging.getLogger("mailcore.pam")

_PROMPT_ECHO_OFF = 1
_SUCCESS, _CONV_ERR = 0, 19


class _Message(Structure):
    _fields_ = [("style", c_int), ("text", c_char_p)]


class _Response(Structure):
    _fields_ = [("text", c_void_p), ("code", c_int)]


_Conversation = CFUNCTYPE(c_int, c_int, POINTER(POINTER(_Message)), POINTER(POINTER(_Response)), c_void_p)


class _Conv(Structure):
    _fields_ = [("function", _Conversation), ("data", c_void_p)]


class PamBackend(BaseBackend):
    """Backend that verifies passwords with PAM."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: object
    ) -> Account | None:
        if not username or not password or "\0" in password:
            return None
        account = Account.objects.select_related("domain").filter(address=full_address(username)).first()
        # Unknown names are checked too, as a name that PAM does not know either, so that they take as long.
        name = account.local_part if account is not None else "\u2205"
        is_correct = check_password(settings.PAM_SERVICE, name, password)
        return account if is_correct and account is not None and self.get_user(account.pk) else None

    def get_user(self, user_id: int) -> Account | None:
        return AccountBackend().get_user(user_id)


def check_password(service: str, name: str, password: str) -> bool:
    """Return True if PAM accepts this password and the account's state."""
    pam, libc = _libraries()
    secret = password.encode("utf-8", "surrogateescape")

    def converse(count: int, messages: Any, responses: Any, _data: Any) -> int:
        # PAM frees the responses, so they must come from malloc.
        array = libc.calloc(count, sizeof(_Response))
        if not array:
            return _CONV_ERR
        responses[0] = cast(array, POINTER(_Response))
        for index in range(count):
            if messages[index].contents.style == _PROMPT_ECHO_OFF:
                responses[0][index].text = libc.strdup(secret)
        return _SUCCESS

    conversation = _Conv(_Conversation(converse), None)
    handle = c_void_p()
    if pam.pam_start(service.encode(), name.encode(), byref(conversation), byref(handle)) != _SUCCESS:
        log.error("PAM initialization failed: service=%s", service)
        return False
    result = pam.pam_authenticate(handle, 0)
    if result == _SUCCESS:
        result = pam.pam_acct_mgmt(handle, 0)
    pam.pam_end(handle, result)
    return bool(result == _SUCCESS)


def _libraries() -> tuple[ctypes.CDLL, ctypes.CDLL]:
    """Load libpam and libc; raise OSError if this system has no PAM."""
    pam, libc = ctypes.CDLL("libpam.so.0"), ctypes.CDLL(None)
    libc.calloc.restype = libc.strdup.restype = c_void_p
    libc.strdup.argtypes = [c_char_p]
    pam.pam_start.argtypes = [c_char_p, c_char_p, c_void_p, c_void_p]
    pam.pam_authenticate.argtypes = pam.pam_acct_mgmt.argtypes = pam.pam_end.argtypes = [c_void_p, c_int]
    return pam, libc
