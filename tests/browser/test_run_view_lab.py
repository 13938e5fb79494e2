"""RunView in a real JupyterLab: what a person sees and does with a run that is at work."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from browser.lab import lab_page, menu, output
from kit import SLACK, Project
from nbconvert import HTMLExporter
from playwright.sync_api import Page

from paseo_nb.programs.demo import copy_sample
from paseo_nb.supervisor import cleanup

pytestmark = pytest.mark.browser

LOAD = "%load_ext paseo_nb"
SLOW = "%%paseo demo/slow -o slow --allow-errors\nseconds=60"


class Desk:
    """A folder with notebooks, and what its runs did."""

    def __init__(self, repo: Path) -> None:
        self.repo, self.project = repo, Project(repo)

    def notebook(self, *cells: str, name: str = "job.ipynb") -> str:
        """Write one."""
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
        made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
        nbformat.write(made, self.repo / name)
        return name

    def script(self, *turns: list[dict[str, Any]]) -> str:
        """A `%%paseo` line's agent that plays these turns."""
        path = self.repo.parent / "script.json"
        path.write_text(json.dumps(turns))
        return f"demo/script:{path}"

    def run_id(self) -> str:
        """The newest run, once there is one."""
        return self.project.until(self.project.host.list, 30 * SLACK)[-1]

    def saved(self, name: str = "job.ipynb") -> Any:
        return json.loads((self.repo / name).read_text())


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    repo = Path(copy_sample(tmp_path / "tidelog"))
    monkeypatch.setenv("PASEO_DEMO_HOME", str(tmp_path / "demo-sessions"))
    made = Desk(repo)
    yield made
    made.project.runs = made.project.host.list()
    made.project.close()


def execute(page: Page, *numbers: int) -> None:
    """Click into cells and execute them."""
    for number in numbers:
        page.locator(".jp-CodeCell").nth(number).locator(".jp-InputArea-editor").click()
        page.keyboard.press("Control+Enter")


def view(page: Page, number: int) -> Any:
    """The live widget of the nth cell."""
    return output(page, number).locator(".paseo-alive").first


def wait_for(what: Callable[[], Any], within: float, why: str) -> Any:
    deadline = time.monotonic() + within
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {within:g} s: {why}"
        time.sleep(0.02)
    return found


def save(page: Page) -> None:
    menu(page, "File", "Save Notebook")
    page.wait_for_function("!document.title.startsWith('*')", timeout=20_000)
    time.sleep(1)


def test_it_streams_and_stop_ends_the_turn(desk: Desk) -> None:
    pids = desk.repo.parent / "pid"
    agent = desk.script(
        [
            {"say": "I start something long. "},
            {"shell": f"echo $$ > {pids}; exec sleep 300"},
            {"say": "never said"},
        ],
    )
    desk.notebook(LOAD, f"%%paseo {agent} -o it --mode auto --allow-errors\ngo", "1 + 1")
    with lab_page(desk.repo, "job.ipynb") as page:
        execute(page, 0, 1)
        live = view(page, 1)
        live.get_by_text("I start something long.").wait_for(timeout=60_000)
        assert live.inner_text().count("I start something long.") == 1
        assert output(page, 1).locator("[data-paseo-beside]").first.is_hidden()
        wait_for(lambda: pids.exists() and pids.read_text().strip(), 20, "the command runs")
        pid = int(pids.read_text())
        begun = time.monotonic()
        live.get_by_role("button", name="Stop").first.click()
        wait_for(lambda: pid not in cleanup.parents(), 1 * SLACK, "the command is gone")
        run_id = desk.run_id()
        wait_for(
            lambda: desk.project.history(run_id).turns[0].outcome == "cancelled",
            1 * SLACK - (time.monotonic() - begun),
            "the turn has ended",
        )
        print(f"turn and command ended {time.monotonic() - begun:.2f} s after the click")
        assert desk.project.alive(run_id), "the run stays"
        output(page, 1).get_by_text("Cancelled").first.wait_for(timeout=20_000)
        wait_for(lambda: view(page, 1).count() == 0, 20, "static at the end")
        execute(page, 2)
        output(page, 2).get_by_text("2", exact=True).first.wait_for(timeout=20_000)
    begun = time.monotonic()
    desk.project.command(run_id, "stop")
    wait_for(lambda: not desk.project.left(run_id), 5 * SLACK, "its processes are gone")
    print(f"processes gone {time.monotonic() - begun:.2f} s after stop")


def test_a_permission_is_answered_by_its_button(desk: Desk) -> None:
    desk.notebook(LOAD, "%%paseo demo/asker -o asker --mode ask\nmay I")
    with lab_page(desk.repo, "job.ipynb") as page:
        execute(page, 0, 1)
        view(page, 1).get_by_role("button", name="Allow once").first.click(timeout=60_000)
        output(page, 1).get_by_text("You allowed it").first.wait_for(timeout=30_000)
        assert page.locator(".jp-Stdin-input").count() == 0, "input() did not ask, too"
    history = desk.project.history(desk.run_id())
    [permission] = history.permissions.values()
    assert (permission.outcome, permission.by) == ("allowed", "user")


def test_a_follow_up_is_sent_in_mid_turn(desk: Desk) -> None:
    desk.notebook(LOAD, "%%paseo demo/slow -o slow\nseconds=4")
    with lab_page(desk.repo, "job.ipynb") as page:
        execute(page, 0, 1)
        live = view(page, 1)
        live.get_by_text(" of ").first.wait_for(timeout=60_000)
        box = live.get_by_role("textbox").first
        box.fill("/echo one thing more")
        box.press("Control+Enter")
        final = output(page, 1).get_by_text("one thing more")
        final.first.wait_for(timeout=60_000)
        wait_for(lambda: view(page, 1).count() == 0, 60, "the cell goes on until it is answered")
    turns = desk.project.history(desk.run_id()).turns
    assert [turn.outcome for turn in turns] == ["end_turn", "end_turn"]
    assert "one thing more" in turns[1].prompt


def test_a_reloaded_page_is_live_again(desk: Desk) -> None:
    desk.notebook(LOAD, SLOW)
    with lab_page(desk.repo, "job.ipynb", extensions=True) as page:
        execute(page, 0, 1)
        view(page, 1).get_by_text("3 of").first.wait_for(timeout=60_000)
        save(page)
        page.reload()
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        view(page, 1).get_by_text("12 of").first.wait_for(timeout=60_000)
        assert view(page, 1).inner_text().count("12 of 300.") == 1, "told once"
        view(page, 1).get_by_role("button", name="Stop").first.click()
        run_id = desk.run_id()
        wait_for(
            lambda: desk.project.history(run_id).turns[0].outcome == "cancelled", 10, "it ended"
        )
        # What the cell displays now does not reach this page: the view tells the end, and stays.
        view(page, 1).get_by_text("Cancelled").first.wait_for(timeout=20_000)
        page.wait_for_selector("text=| Idle", timeout=60_000)
        # What is saved tells the end: the panel puts it beside the view.
        beside = output(page, 1).locator("[data-paseo-beside]")
        beside.get_by_text("Cancelled").first.wait_for(state="attached", timeout=60_000)
        assert view(page, 1).get_by_text("Cancelled").first.is_visible()
        assert beside.count() == 1
        assert not beside.is_visible()
        save(page)
    [alive, shown] = desk.saved()["cells"][1]["outputs"]
    assert "application/vnd.jupyter.widget-view+json" in alive["data"]
    assert "Running" not in "".join(shown["data"]["text/plain"])
    about = shown["metadata"]["paseo_nb"]
    assert (about["run_id"], about["state"]) == (run_id, "idle")


def test_a_restarted_kernel_attaches_to_the_same_run(desk: Desk) -> None:
    desk.notebook(LOAD, SLOW)
    with lab_page(desk.repo, "job.ipynb") as page:
        execute(page, 0, 1)
        view(page, 1).get_by_text("3 of").first.wait_for(timeout=60_000)
        menu(page, "Kernel", "Restart Kernel…")
        page.click('.jp-Dialog button:has-text("Restart")')
        page.wait_for_selector("text=| Idle", timeout=60_000)
        time.sleep(1)
        execute(page, 0, 1)
        view(page, 1).get_by_text("12 of").first.wait_for(timeout=60_000)
        outcomes = [desk.project.history(one).state for one in desk.project.host.list()]
        assert outcomes == ["running"]
        assert desk.project.history(desk.run_id()).turn_open


def test_two_notebooks_show_one_run(desk: Desk) -> None:
    desk.notebook(LOAD, SLOW)
    desk.notebook(LOAD, "import paseo_nb as paseo", "paseo.ls()[0]", name="other.ipynb")
    with lab_page(desk.repo, "job.ipynb") as page:
        execute(page, 0, 1)
        view(page, 1).get_by_text("2 of").first.wait_for(timeout=60_000)
        other = page.context.browser.new_page()
        base = page.url.partition("/lab")[0]
        other.goto(f"{base}/lab/workspaces/other/tree/other.ipynb")
        other.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        other.wait_for_selector("text=| Idle", timeout=60_000)
        execute(other, 0, 1, 2)
        view(other, 2).get_by_text("12 of").first.wait_for(timeout=60_000)
        view(other, 2).get_by_role("button", name="Stop").first.click()
        output(page, 1).get_by_text("Cancelled").first.wait_for(timeout=30_000)
        view(other, 2).get_by_text("Cancelled").first.wait_for(timeout=30_000)
        view(other, 2).get_by_role("button", name="Trace").click()
        view(other, 2).locator(".tv").get_by_text("demo/slow").first.wait_for(timeout=30_000)
        label = view(other, 2).locator(".tv dt").first
        assert label.evaluate("it => getComputedStyle(it).float") == "none", "as JupyterLab has it"


def test_what_is_saved_tells_it_without_a_kernel(desk: Desk) -> None:
    desk.notebook(
        LOAD, "%%paseo demo/fixer --worktree fix -o fix\nThe tests fail. Fix the code.", "fix"
    )
    with lab_page(desk.repo, "job.ipynb") as page:
        execute(page, 0, 1)
        view(page, 1).get_by_text("scripted demo agent").first.wait_for(timeout=60_000)
        wait_for(lambda: view(page, 1).count() == 0, 120, "the cell is over")
        ended = output(page, 1).inner_text()
        assert "13 tests pass" in ended
        execute(page, 2)
        view(page, 2).get_by_text("13 tests pass").first.wait_for(timeout=60_000)
        # The view is alive before the cell is over: what is saved shows the HTML that comes after.
        page.locator(".jp-CodeCell").nth(2).get_by_text("[3]:").wait_for(timeout=60_000)
        save(page)
        menu(page, "Kernel", "Shut Down Kernel")
        page.reload()
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        output(page, 1).get_by_text("13 tests pass").first.wait_for(timeout=60_000)
        assert output(page, 1).inner_text() == ended
        output(page, 2).get_by_text("13 tests pass").first.wait_for(timeout=60_000)
        lost = page.get_by_text("Error displaying widget")
        lost.wait_for(state="attached", timeout=60_000)
        assert [one.is_visible() for one in lost.all()] == [False]
        html, _ = HTMLExporter().from_filename(str(desk.repo / "job.ipynb"))
        converted = page.context.browser.new_page()
        converted.route("**/*", lambda route: route.abort())  # MathJax and the like, from elsewhere
        converted.set_content(html)
        assert output(converted, 1).first.inner_text().split() == ended.split()
    shown, *rest = desk.saved()["cells"][1]["outputs"]
    assert set(shown["data"]) == {"text/html", "text/markdown", "text/plain"}
    about = shown["metadata"]["paseo_nb"]
    assert about["run_id"] == desk.run_id()
    assert [one["data"] for one in rest] in ([], [{}])
