"""How to make files durable on each type of file system; statfs(2) returns the type.

syncfs(2) makes everything on a file system durable with one flush, which write-behind and group commit rely on. Network
and user-space file systems may report success without doing anything (FUSE passes it on for virtiofs only), so it is
used only where it is known to work. Everywhere else each file needs an fsync of its own, and its directory another:
only on the file systems known here does an fsync of a new file make its name durable too.
"""

import ctypes
import os
import sys

_libc = ctypes.CDLL(None, use_errno=True)
_HAS_SYNCFS = hasattr(_libc, "syncfs")  # Linux

# Magic numbers of linux/magic.h: file systems where syncfs works.
LOCAL = {
    0xEF53: "ext4",  # and ext2, ext3
    0x58465342: "xfs",
    0x9123683E: "btrfs",
    0xF2F52010: "f2fs",
    0x2FC12FC1: "zfs",
    0xCA451A4E: "bcachefs",
    0x3153464A: "jfs",
    0x52654973: "reiserfs",
    0x3434: "nilfs2",
    0x794C7630: "overlayfs",  # passes it on to the upper file system
    0x01021994: "tmpfs",  # nothing survives a restart there anyway
}
# File systems where syncfs does nothing or is not known to work. The names are for display; unknown types are treated
# alike.
OTHERS = {
    0x65735546: "fuse",
    0x6969: "nfs",
    0xFF534D42: "cifs",
    0xFE534D42: "smb2",
    0x517B: "smb",
    0x00C36400: "ceph",
    0x01021997: "9p",
    0x5346414F: "afs",
    0x0BD00BD0: "lustre",
    0x01161970: "gfs2",
    0x7461636F: "ocfs2",
    0x786F4256: "vboxsf",
    0x2011BAB0: "exfat",
    0x4D44: "vfat",
}


def file_system(directory: str | os.PathLike[str]) -> int:
    """Return the type of the file system a directory is on, as statfs reports it, or 0 where that is unknown.

    Raise OSError if there is no such directory.
    """
    if not sys.platform.startswith("linux"):
        return 0
    # struct statfs begins with f_type, a machine word (on s390x an unsigned int); the whole struct has 120 bytes.
    buffer = ctypes.create_string_buffer(512)
    if _libc.statfs(os.fsencode(directory), buffer):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(directory))
    width = 4 if os.uname().machine == "s390x" else ctypes.sizeof(ctypes.c_long)
    return int.from_bytes(buffer.raw[:width], sys.byteorder) & 0xFFFFFFFF


def name_of(kind: int) -> str:
    """Return the name of a file system type, for display."""
    return LOCAL.get(kind) or OTHERS.get(kind) or f"type {kind:#x}"


def is_local(kind: int) -> bool:
    """Return True if syncfs works on this type and an fsync of a new file makes its name durable."""
    return _HAS_SYNCFS and kind in LOCAL


def can_sync_all(directory: str | os.PathLike[str]) -> bool:
    """Return True if one syncfs makes everything on this directory's file system durable.

    Checked at each call, which takes 1 µs, since another file system may be mounted there later.
    """
    try:
        return is_local(file_system(directory))
    except OSError:
        return False


def sync_file_system(directory: str) -> None:
    """Flush a whole file system with syncfs(2); raise OSError if data was lost."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if _libc.syncfs(handle):
            raise OSError(ctypes.get_errno(), "syncfs", directory)
    finally:
        os.close(handle)


def sync_file(path: str) -> None:
    """Flush a file or a directory with fsync(2)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_content(directory: str) -> None:
    """Make every file in a directory durable, and their names; the substitute for syncfs."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                try:
                    sync_file(entry.path)
                except FileNotFoundError:
                    continue
    sync_file(directory)
