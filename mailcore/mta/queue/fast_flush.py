"""ETRN's question: may the queue be delivered to a domain now? (RFC 1985; Postfix's flush(8))"""

from mailcore import conf
from mailcore.mta.queue import queue_listing, states
from mailcore.mta.routing import route


def flush_domain(domain: str) -> bool:
    """Try what waits for a domain now; False: not for this domain (fast_flush_domains, those we relay to)."""
    if not route.relays_for(domain) and domain not in conf.current().fast_flush_domains:
        return False
    states.flush(queue_listing.deferred_ids_for(domain))
    return True
