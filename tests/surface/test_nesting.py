"""`allow_nested_loop`: refused on ipykernel 7, at work in a plain loop, never there by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def test_ipykernel_7_is_refused_with_the_reason_and_left_as_it_was(repo: Path) -> None:
    kernel = Kernel(repo)
    try:
        kernel.run("%load_ext paseo_nb")
        error = kernel.run("import paseo_nb as paseo\npaseo.allow_nested_loop()").error
        assert error is not None
        assert error[0] == "UsageProblem"
        assert "refused on ipykernel 7" in error[1]
        assert "`await`" in error[1]
        code = "import asyncio, sys\nprint('nest_asyncio' in sys.modules)\nawait asyncio.sleep(0)"
        assert kernel.run(code).streams.strip() == "False"
        assert kernel.run("%%paseo demo/echo\nstill here").error is None
    finally:
        kernel.close()
