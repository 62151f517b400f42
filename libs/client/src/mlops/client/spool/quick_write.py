# SPDX-License-Identifier: Apache-2.0
"""quick_write(): `os.write` that keeps the interpreter, so that a training loop does not queue behind the sender's thread.

`os.write` lets other threads run while the kernel copies a hundred bytes into its cache; getting the interpreter back then
takes as long as the other thread likes to work, milliseconds where the copy takes microseconds.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable


def _kept() -> Callable[[int, bytes], int]:
    try:
        write = ctypes.PyDLL(None).write
    except (OSError, AttributeError):
        return os.write
    write.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t)
    write.restype = ctypes.c_ssize_t

    def quick(descriptor: int, line: bytes) -> int:
        written = int(write(descriptor, line, len(line)))
        # What went wrong is said by trying again with who can say it.
        return written if written >= 0 else os.write(descriptor, line)

    return quick


quick_write = _kept()
