"""Names of the user's mail server in Received and Authentication-Results fields."""

from django.conf import settings

from mailcore import conf
from mailcore.wire.sender_auth import authentication_results


def is_own_name(host: str, address: str) -> bool:
    """Return True if the mail server of the user with this address may have this host name.

    That is a name in the user's domain and, if the accounts are on this server, in `mydomain` or `myhostname`.
    """
    names = {address.rpartition("@")[2].lower().strip(".")}
    if not settings.WEBMAIL["GUEST"]:
        names |= {conf.current().mydomain.lower(), conf.current().myhostname.lower()}
    return bool(host) and any(name and (host == name or host.endswith("." + name)) for name in names)


def remove_own_results(content: bytes, address: str) -> bytes:
    """Return a message from elsewhere without Authentication-Results that claim to be from the user's server."""
    results = authentication_results.ResultsFilter(lambda name: is_own_name(name, address))
    return results.feed(content) + results.finish()
