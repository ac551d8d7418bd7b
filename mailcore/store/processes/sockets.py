"""The names of datagram sockets in RUN_ROOT, and who shares them: processes of one boot of one kernel that use the same
folder. Host names say nothing about that: containers with one name have folders of their own, and several machines may
share a folder whose sockets reach nobody elsewhere.
"""

import os

from django.conf import settings

from mailcore.store.processes import instance


def scope() -> str:
    """Return who shares the sockets of RUN_ROOT with this process: sixteen hexadecimal digits."""
    try:
        status = os.stat(settings.RUN_ROOT)
    except FileNotFoundError:
        return instance.digest(instance.name())  # nobody does yet
    return instance.digest(f"{instance.boot_id()} {status.st_dev} {status.st_ino}")


def prefix(audience: str) -> str:
    """Return how the names of an audience's sockets begin."""
    return f"{audience}-{scope()}-"


def own(audience: str) -> str:
    """Return the name of this process's socket. It ends in the process id, which another container may have as well."""
    return f"{prefix(audience)}{instance.name()[-8:]}-{os.getpid()}"
