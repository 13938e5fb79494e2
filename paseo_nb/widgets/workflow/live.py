"""The output of a cell while a workflow run is at work, and static when it is over.

A widget where a browser may show one, with static HTML beside it for what is saved meanwhile;
elsewhere HTML and text that are updated. At the end only the static form is left.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
import anywidget
import traitlets

from ... import _portal, cells
from ...engine.handles import WorkflowHandle
from ...engine.showing import as_text
from ...engine.story import Story
from ...errors import PaseoError
from ...handle import AsyncRun
from ...model import now_us
from ..catching_up import at_cells_ends
from ..live import beside, bundle_of
from ..render.text import prose
from ..scripts import with_morph
from ..showing import Standing, put, view_of
from .page import page

REFRESH_S = 0.25
STILL_S = 1.0
BESIDE_S = 5.0
SHARE = 10  # of the time that goes into rendering, at most one part in so many
HERE = Path(__file__).parent
_CSS = (
    ".jp-OutputArea:has(.paseo-alive) .jp-OutputArea-child:has([data-paseo-beside]){display:none}"
    ":is(.output,.cell-output,.output_container):has(.paseo-alive) [data-paseo-beside]"
    "{display:none}"
    "[data-paseo-workflow] details>summary:hover{background:rgba(128,128,128,.08)}"
    "[data-paseo-workflow] summary:focus-visible{outline:2px solid var(--jp-brand-color1,#1976d2)}"
)


def bundle(story: Story) -> dict[str, str]:
    """A workflow run as it stands."""
    return {"text/plain": as_text(story), "text/html": page(story, now_us())}


class WorkflowWidget(anywidget.AnyWidget):
    """What a browser shows of one workflow run."""

    _esm = with_morph(HERE / "view.js")
    _css = _CSS
    page = traitlets.Unicode("").tag(sync=True)

    def __init__(self, run: WorkflowHandle) -> None:
        super().__init__()
        self.run = run
        self.opened: dict[str, str] = {}
        cast(Any, self).on_msg(self._take)

    def _take(self, _: Any, message: Any, buffers: Any) -> None:
        """On the kernel's thread, which does not wait."""
        if isinstance(message, dict):
            told = cast(dict[str, Any], message)
            _portal.start_soon(anyio.to_thread.run_sync, self._do, told.get("k"), told.get("step"))

    def _do(self, kind: Any, step: Any) -> None:
        with contextlib.suppress(PaseoError, OSError):
            if kind == "stop":
                self.run.stop()
            elif kind == "open" and isinstance(step, str):
                self.opened[step] = ""
                self.put()
            elif kind == "shut":
                self.opened.pop(step, None)

    def put(self) -> None:
        """Render it as it stands now."""
        with self.run.looked_at() as story:
            if self.opened:
                runs = {step.step: step.run_id for step in story.steps.values()}
                for step in list(self.opened):
                    if run_id := runs.get(step):
                        self.opened[step] = self._inside(step, run_id)
            self.page = page(story, now_us(), live=True, opened=self.opened)

    def _inside(self, step: str, run_id: str) -> str:
        """A step's run, and why it was run again."""
        parts: list[str] = []
        with contextlib.suppress(PaseoError, OSError):
            why = self.run.why_rerun(step)
            if "differs" in why:
                parts.append(f'<pre style="white-space:pre-wrap">{prose(why)}</pre>')
        with contextlib.suppress(PaseoError, OSError):
            run = AsyncRun(self.run.host, run_id)
            parts.append(bundle_of(run)["text/html"])
        return "".join(parts)


class WorkflowOutput:
    """One display of one workflow run. `refresh` as often as you like; `freeze` at the end."""

    def __init__(self, run: WorkflowHandle) -> None:
        self.run, self.frozen = run, False
        self._next, self._beside = 0.0, 0.0
        self._seq = -1
        name = f"paseo-workflow-{run.id}-{now_us()}"
        self.widget: WorkflowWidget | None = None
        self._view: Any = None
        if cells.shows_widgets():
            self.widget = WorkflowWidget(run)
            self.widget.put()
            self._view = put(view_of(self.widget, "live"), f"{name}-view")
        self._handle = put(self._static(), name)

    def _static(self) -> dict[str, str]:
        with self.run.looked_at() as story:
            now = bundle(story)
        if self.widget is not None:
            now["text/html"] = beside(self.run.id, now["text/html"])
        return now

    def refresh(self) -> None:
        """Show what is new, if it is time."""
        now = time.monotonic()
        if self.frozen or now < self._next:
            return
        size = self.run.folder.journal.stat().st_size
        if size == self._seq and now < self._next - REFRESH_S + STILL_S:
            return
        self._seq = size
        if self.widget is not None:
            self.widget.put()
        if self.widget is None or now > self._beside:
            self._beside = now + BESIDE_S
            self._handle.update(self._static(), raw=True)
        done = time.monotonic()
        self._next = done + max(REFRESH_S, (done - now) * SHARE)

    def catch_up(self) -> bool:
        """Show it as it stands now, from a cell; whether that is how it stays."""
        self.frozen = self.frozen or self.run.state != "running"
        self._handle.update(self._static(), raw=True)
        return self.frozen

    def freeze(self) -> None:
        """The final, static output."""
        if self.frozen:
            return
        self.frozen = True
        with self.run.looked_at() as story:
            final = bundle(story)
        if self.widget is None:
            self._handle.update(final, raw=True)
            return
        self._handle.update({}, raw=True)  # JupyterLab takes an output without data away
        self._view.update(final, raw=True)
        self.widget.close()


def _refresh(output: WorkflowOutput) -> None:
    output.refresh()
    if output.run.state != "running":
        output.freeze()


_standing: Standing[WorkflowOutput] = Standing(_refresh, REFRESH_S)


def show(run: WorkflowHandle) -> None:
    """Show a workflow run as the result of a cell: live while it is at work, where that goes."""
    from IPython import display as shown

    if cells.in_kernel() and run.state == "running":
        for one in _standing.outputs:
            if one.run.id == run.id:
                one.freeze()
        output = WorkflowOutput(run)
        if output.widget is None:
            at_cells_ends(output)
        _standing.add(output)
    else:
        with run.looked_at() as story:
            now = bundle(story)
        cast(Any, shown).display(now, raw=True)
