"""Who belongs to a tree, where the tree is odd."""

from __future__ import annotations

import os
import subprocess
import sys

from kit import exists

from paseo_nb.supervisor import cleanup

HEADLESS = """
import ctypes, subprocess, threading, time
child = subprocess.Popen(["sleep", "60"], env={}, start_new_session=True)
threading.Thread(target=time.sleep, args=(60,)).start()
print(child.pid, flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_whose_first_thread_ended_is_ended_with_its_children() -> None:
    with subprocess.Popen([sys.executable, "-c", HEADLESS], stdout=subprocess.PIPE) as leader:
        assert leader.stdout is not None
        child = int(leader.stdout.readline())
        ours = {leader.pid, child}

        def find() -> list[int]:
            return [pid for pid in cleanup.descendants(os.getpid(), "no run") if pid in ours]

        try:
            while cleanup._stat(leader.pid)[0] != "Z":  # type: ignore[index]
                pass
            assert set(find()) == ours
            assert cleanup.end(find, term_s=0, reaps=False)
            assert leader.wait(10) == -9
            assert not exists(child)
        finally:
            cleanup.kill([leader.pid, child], cleanup.signal.SIGKILL)
