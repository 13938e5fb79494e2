"""`allow_nested_loop`: at work in a plain loop and on ipykernel 6, refused on 7, never by itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ipykernel
from kernels import Kernel

PLAIN = """\
import asyncio, threading
import paseo_nb as paseo
from paseo_nb import aio

async def nested():
    return asyncio.run(asyncio.sleep(0.01, "nested"))

async def main():
    before = paseo.run("demo/echo", "sync verbs need nothing")
    try:
        await nested()
        print("allowed by itself")
    except RuntimeError as error:
        print("refused:", error)
    paseo.allow_nested_loop()
    paseo.allow_nested_loop()
    print(await nested())
    print(asyncio.get_running_loop().run_until_complete(asyncio.sleep(0.01, "again")))
    ticks = []
    async def tick():
        while True:
            ticks.append(1)
            await asyncio.sleep(0.01)
    ticking = asyncio.ensure_future(tick())
    run = asyncio.run(aio.run("demo/echo", "from within"))
    print(run.state, len(ticks) > 1)
    ticking.cancel()
    print(before.send("sync verbs as before").wait().state)
    print((await (await aio.start("demo/echo", "awaited")).wait()).state)
    before.stop()

asyncio.run(main())
"""


def test_it_works_in_a_plain_loop(repo: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PLAIN], cwd=repo, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    assert lines[0].startswith("refused: asyncio.run() cannot be called from a running event loop")
    assert lines[1:] == ["nested", "again", "idle True", "idle", "idle"]


IN_A_KERNEL = """\
import asyncio
import paseo_nb as paseo
from paseo_nb import aio
paseo.allow_nested_loop()
print(asyncio.run(asyncio.sleep(0.01, "nested")))
print(asyncio.run(aio.run("demo/echo", "from within")).state)
print((await aio.run("demo/echo", "awaited")).state)
print(paseo.run("demo/echo", "sync").state)
"""


def test_it_works_in_a_kernel_on_ipykernel_6_and_is_refused_with_the_reason_on_7(
    repo: Path,
) -> None:
    """CI runs this twice: with the newest ipykernel, and with the oldest that we support."""
    assert ipykernel.__version__.startswith(os.environ.get("WANTED_IPYKERNEL", "7."))
    kernel = Kernel(repo)
    try:
        kernel.run("%load_ext paseo_nb")
        done = kernel.run(IN_A_KERNEL)
        if ipykernel.version_info[0] < 7:
            assert done.error is None
            assert done.streams.split() == ["nested", "idle", "idle", "idle"]
        else:
            assert done.error is not None
            assert done.error[0] == "UsageProblem"
            assert "refused on ipykernel 7" in done.error[1]
            assert "`await`" in done.error[1]
            code = "import sys\nprint('nest_asyncio' in sys.modules)\nawait asyncio.sleep(0)"
            assert kernel.run(code).streams.strip() == "False"
        assert kernel.run("%%paseo demo/echo\nstill here").error is None
    finally:
        kernel.close()
