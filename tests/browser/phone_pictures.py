"""Takes the phone page's pictures: `python -m tests.browser.phone_pictures FOLDER`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))

from browser.board_scene import end, scene
from browser.lab import FLAGS, chromium
from serving import serving

import paseo_nb as paseo
from paseo_nb.programs.demo import copy_sample


def main(folder: Path) -> None:
    """Light and dark, side by side: the list, a question in its run, a run at work, a diff."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temp:
        root = Path(copy_sample(Path(temp) / "tidelog"))
        os.chdir(root)
        os.environ["PASEO_DEMO_HOME"] = str(Path(temp) / "server-home/demo")
        with serving(root) as served, sync_playwright() as playwright:
            runs = scene()
            with served.at_home():
                address = paseo.pair(url=served.url).address
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            for name in ("light", "dark"):
                page = browser.new_page(
                    viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True,
                    device_scale_factor=1.5, color_scheme=name,
                )  # fmt: skip
                page.goto(address)
                page.locator("#list li.dr").nth(8).wait_for()
                page.wait_for_timeout(1000)
                page.screenshot(path=folder / f"phone-{name}.png")
                shown(page, "Fix test_offset", ".ask")
                page.screenshot(path=folder / f"phone-question-{name}.png")
                shown(page, "Write the change log", ".rv-follow .box")
                page.screenshot(path=folder / f"phone-run-{name}.png")
                shown(page, "Fix the tide maths", ".rv-foot")
                page.get_by_role("button", name="Diff").tap()
                page.locator(".rv-diff .add").first.wait_for()
                page.screenshot(path=folder / f"phone-diff-{name}.png")
                page.close()
                side_by_side(folder, name)
            browser.close()
            end(runs)


def side_by_side(folder: Path, name: str) -> None:
    """The four as one picture."""
    parts = [folder / f"phone{part}-{name}.png" for part in ("", "-question", "-run", "-diff")]
    shots = [Image.open(one).convert("RGB") for one in parts]
    width, gap = shots[0].width, 24
    sheet = Image.new("RGB", (len(shots) * (width + gap) - gap, shots[0].height), "#888")
    for at, one in enumerate(shots):
        sheet.paste(one, (at * (width + gap), 0))
    sheet.quantize(256).save(folder / f"phone-{name}.png", optimize=True)
    for one in parts[1:]:
        one.unlink()


def shown(page: Page, title: str, part: str) -> None:
    """Open a run from the list, and wait for a part of it."""
    if page.locator("#run").is_visible():
        page.get_by_role("button", name="Runs").tap()
    page.locator("#list li.dr", has_text=title).locator(".ti").tap()
    page.locator(f"#run {part}").wait_for()
    page.wait_for_timeout(1200)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
