"""ETRN: deliver the queued messages of a domain now (RFC 1985; Postfix's flush(8))."""

from mailcore import conf
from mailcore.mta.queue import queue_listing, states
from mailcore.mta.routing import route


def flush_domain(domain: str) -> bool:
    """Flush the deferred messages for a domain. Return False if it is not eligible.

    Eligible are the domains of fast_flush_domains and those this host relays for.
    """
    if not route.relays_for(domain) and domain not in conf.current().fast_flush_domains:
        return False
    states.flush(queue_listing.deferred_ids_for(domain))
    return True
