"""The control socket's path and messages: what front ends and supervisors agree on.

Newline-delimited JSON. The supervisor greets with `{"hello": {...}}`; a client sends
`{"id", "verb", "args"}` and gets `{"id", "ok", "result" | "error"}`; a watcher gets
`{"wake": {"seq", "offset"}}`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

MAX_LINE = 64 << 20


def runtime_dir() -> Path:
    """Our private folder for sockets: under XDG_RUNTIME_DIR if that is ours, else the system's
    temporary folder. PermissionError if somebody else made it."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if not (base and os.path.isdir(base) and os.stat(base).st_uid == os.getuid()):
        base = os.path.abspath(os.environ.get("TMPDIR") or "/tmp")
        if not (os.path.isdir(base) and os.access(base, os.W_OK | os.X_OK)):
            import tempfile  # looks further; a supervisor starts without its many imports

            base = tempfile.gettempdir()
    path = Path(base) / f"paseo-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    info = path.lstat()
    if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.getuid():
        raise PermissionError(f"{path} belongs to somebody else; set XDG_RUNTIME_DIR to a folder")
    return path


def socket_path(run_dir: Path) -> Path:
    """Where the control socket of a run lies (at most 100 bytes long)."""
    name = hashlib.sha256(os.fsencode(os.path.realpath(run_dir))).hexdigest()[:12]
    return runtime_dir() / name
