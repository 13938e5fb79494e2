"""A real JupyterLab and a real Chromium, on loopback, with settings of their own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run"
    " --disable-background-networking --disable-component-update --disable-sync"
).split()


def chromium() -> str:
    """The browser; fails loudly where there is none."""
    found = shutil.which("chromium")
    assert found, "Chromium is missing: apt-get install chromium (sh tests/run.sh --all does it)"
    return found


@contextlib.contextmanager
def lab_page(
    work: Path, notebook: str, dark: bool = False, extensions: bool = False
) -> Iterator[Page]:
    """A page that shows a notebook of the folder in JupyterLab; `extensions`: with ours, from this
    tree, as an installed package has them. Without, the panel of an installed package stays off:
    it adds lines below frozen outputs."""
    home = work.parent / "lab-home"
    settings = home / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True, exist_ok=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    theme = "JupyterLab Dark" if dark else "JupyterLab Light"
    (settings / "themes.jupyterlab-settings").write_text(f'{{"theme": "{theme}"}}')
    (home / "labconfig").mkdir(exist_ok=True)
    off = json.dumps({"disabledExtensions": {"paseo-nb": not extensions}})
    (home / "labconfig" / "page_config.json").write_text(off)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    env = {**os.environ, "JUPYTER_CONFIG_DIR": str(home), "JUPYTERLAB_SETTINGS_DIR":
           str(home / "lab" / "user-settings")}  # fmt: skip
    if extensions:
        share = home / "share"
        here = share / "labextensions" / "paseo-nb"
        shutil.copytree(ROOT / "extensions/lab/built", here, dirs_exist_ok=True)
        shutil.copytree(ROOT / "extensions/server/etc/jupyter", home, dirs_exist_ok=True)
        env["JUPYTER_PATH"] = str(share)
    log = (work.parent / "lab.log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--ip=127.0.0.1",
         "--IdentityProvider.token=", "--allow-root", "--ServerApp.disable_check_xsrf=True"],
        cwd=work, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            assert server.poll() is None, (work.parent / "lab.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "JupyterLab did not start within 60 s"
            time.sleep(0.2)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            page = browser.new_page(viewport={"width": 1100, "height": 1500})
            page.goto(f"http://127.0.0.1:{port}/lab/tree/{notebook}")
            page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
            page.wait_for_selector("text=| Idle", timeout=60_000)
            try:
                yield page
            except BaseException:
                with contextlib.suppress(PlaywrightError):
                    page.screenshot(path=work.parent / "failed.png")
                raise
            browser.close()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:  # a busy machine; what is tested is not the server
            os.killpg(server.pid, signal.SIGKILL)
            server.wait(30)
        log.close()


def menu(page: Page, *entries: str) -> None:
    """Click through a menu."""
    page.click(f".lm-MenuBar-itemLabel:text-is('{entries[0]}')")
    for entry in entries[1:]:
        page.click(f".lm-Menu-itemLabel:text-is('{entry}')")


def output(page: Page, number: int) -> Any:
    """The output area of the nth code cell, from 0."""
    return page.locator(".jp-CodeCell").nth(number).locator(".jp-OutputArea")
