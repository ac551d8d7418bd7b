"""The names of the datagram sockets in RUN_ROOT.

Processes share these sockets if they run under one boot of one kernel and use the same folder. Host names are no
criterion: containers with one name have folders of their own, and several machines may share a folder over the network,
where sockets do not work between them.
"""

import os

from django.conf import settings

from mailcore.store.processes import instance


def scope() -> str:
    """Return the scope that shares the sockets of RUN_ROOT with this process: sixteen hexadecimal digits."""
    try:
        status = os.stat(settings.RUN_ROOT)
    except FileNotFoundError:
        return instance.digest(instance.name())  # no other process does yet
    return instance.digest(f"{instance.boot_id()} {status.st_dev} {status.st_ino}")


def prefix(audience: str) -> str:
    """Return the prefix of the names of an audience's sockets."""
    return f"{audience}-{scope()}-"


def own(audience: str) -> str:
    """Return the name of this process's socket. It ends in the process id, which another container may have as well."""
    return f"{prefix(audience)}{instance.name()[-8:]}-{os.getpid()}"
