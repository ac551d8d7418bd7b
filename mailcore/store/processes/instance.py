"""The name of this process, unique among the processes of all machines.

Host names tell machines apart only if administrators keep them distinct: containers often share one, and a process id
has a meaning on one machine only. So the name consists of a digest of where process ids are unique (this boot of the
kernel, this PID namespace), the process id, its start time, and a random part. `is_dead` can tell that a process in the
same PID namespace has ended; of others nothing is known, and their leases expire.
"""

import contextlib
import hashlib
import os
import secrets
from functools import lru_cache
from itertools import count

_numbers = count(1)
_own: tuple[int, str] = (0, "")  # process id, name


def name() -> str:
    """Return this process's name: place/pid/start/random, at most 58 characters. A forked child has its own."""
    global _own
    pid = os.getpid()
    if _own[0] != pid:
        _own = (pid, f"{place()}/{pid}/{_started(pid)}/{secrets.token_hex(4)}")
    return _own[1]


def numbered() -> str:
    """Return a unique name for one part of this process, such as one courier; at most 64 characters."""
    return f"{name()}.{next(_numbers)}"


@lru_cache(1)
def place() -> str:
    """Return a digest of the boot and the PID namespace: sixteen hexadecimal digits."""
    return digest(f"{boot_id()} {_namespace()}")


def digest(text: str) -> str:
    """Return sixteen hexadecimal digits for a text."""
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


@lru_cache(1)
def boot_id() -> str:
    """Return the id of this boot of the kernel; random where the system has none."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()
    return secrets.token_hex(16)


def _namespace() -> str:
    with contextlib.suppress(OSError):
        return os.readlink("/proc/self/ns/pid")
    return ""


def _started(pid: int) -> str:
    """Return clock ticks from the boot to the process's start, or "" if no such process runs.

    A zombie does not run: in a container whose first process does not reap orphans it stays for good.
    """
    with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
        # The command's name, in parentheses, may contain spaces and parentheses itself.
        fields = file.read().rpartition(b")")[2].split()
        return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
    return ""


def is_dead(other: str) -> bool:
    """Return True if this is the name of a process that has certainly ended."""
    other_place, _, rest = other.partition("/")
    pid, _, rest = rest.partition("/")
    started = rest.partition("/")[0]
    if other_place != place() or not pid.isdigit() or not started:
        return False
    return _started(int(pid)) != started
