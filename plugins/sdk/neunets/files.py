"""Files that come from others: nothing but a regular file is opened, so that no read waits or has side effects."""

from __future__ import annotations

import errno
import os
import stat
from typing import BinaryIO, Final

__all__ = ["check_regular", "open_regular"]

KINDS: Final = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}
# What lies here looks like a regular file, and is a door to the kernel: reading may wait for ever, or never end.
OF_THE_KERNEL: Final = ("/proc/", "/sys/")


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """To be read. Raises: OSError, whose `strerror` says what `path` is where it is no regular file."""
    check_regular(path)  # a socket cannot even be opened
    # A pipe is opened at once although nobody writes to it, and a terminal does not become this process's.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _check(path, os.fstat(descriptor))
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def check_regular(path: str | os.PathLike[str]) -> None:
    """For readers that want a path: what `open_regular` raises, without opening `path`."""
    _check(path, os.stat(path))


def _check(path: str | os.PathLike[str], found: os.stat_result) -> None:
    kind = KINDS.get(stat.S_IFMT(found.st_mode))
    if kind is None and os.path.realpath(path).startswith(OF_THE_KERNEL):
        kind = "a file of the kernel"
    if kind is not None:
        raise OSError(errno.EINVAL, f"it is {kind}, no regular file", os.fspath(path))
