"""`--attach`, `--fill` and `--bg` in a real kernel: names, cells, the last error, runs, files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kernels import Kernel, Outcome
from kit import SLACK, Project

SETUP = """\
%load_ext paseo_nb
import pandas as pd, matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
df = pd.DataFrame({"depth": [1.5, 2.5], "who": ["ann", "bo"]})
fig, ax = plt.subplots()
n, conf = 41, {"port": 8080}
"""


@pytest.fixture
def kernel(repo: Path) -> Iterator[Kernel]:
    made = Kernel(repo)
    assert made.run(SETUP).error is None
    yield made
    made.close()


def prompts(repo: Path) -> list[dict[str, Any]]:
    """The content blocks that the newest run was started with."""
    project = Project(repo)
    return project.host.spec(project.host.list()[-1]).prompt


def told(repo: Path) -> str:
    """All text that the newest run was given."""
    blocks = prompts(repo)
    return "\n\n".join(b.get("text") or b.get("resource", {}).get("text", "") for b in blocks)


def refused(outcome: Outcome) -> str:
    assert outcome.streams.startswith("UsageError: "), outcome.streams
    assert outcome.streams.count("\n") <= 2, outcome.streams
    return outcome.streams


def test_fill_puts_values_in_only_where_asked_for(kernel: Kernel, repo: Path) -> None:
    body = "Port {conf['port']}, {n + 1}, {df.shape}, {{n}}; `{n}`"
    assert kernel.run(f"%%paseo demo/echo\n{body}").error is None
    assert prompts(repo)[0]["text"] == body
    assert kernel.run(f"%%paseo demo/echo --fill -o echo\n{body}").error is None
    assert prompts(repo)[0]["text"] == "Port 8080, {n + 1}, (2, 2), {{n}}; `{n}`"
    said = refused(kernel.run("%%paseo demo/echo --fill\n{confg} is it"))
    assert "no name for {confg}. Did you mean conf?" in said
    assert len(Project(repo).host.list()) == 2, "nothing was started"
    sent = kernel.run("y = %paseo send {echo.id} 'and {n} more' --fill --wait")
    assert "no run '{echo.id}'" in refused(sent), "only the prompt is filled in"
    run_id = kernel.run("print(echo.id)").streams.strip()
    sent = kernel.run(f"y = %paseo send {run_id} 'and {{n}} more' --fill --wait\nprint(y.text)")
    assert "and 41 more" in sent.streams


def test_names_cells_the_last_error_runs_and_files_go_along(kernel: Kernel, repo: Path) -> None:
    kernel.run("print('loud')\nn + 1", cell_id="loud-cell")
    count = 2  # after the set-up
    kernel.run("def half(x):\n    return x / 0\nhalf(1)")
    kernel.run("df.head(1)")
    (repo / "a,b.txt").write_text("with a comma")
    words = f"df,fig,_,tb --attach \"conf['port']\" --attach cell:{count},cell:loud-cell --attach a,b.txt"
    shown = kernel.run(f"%%paseo demo/image -o first --attach {words}\nlook")
    assert shown.error is None, shown.streams
    blocks = prompts(repo)
    uris = [b["resource"]["uri"] for b in blocks if b["type"] == "resource"]
    assert uris[:3] == ["notebook:df", "notebook:fig", "notebook:_"], "a figure's data, too"
    assert uris[3:7] == [
        "notebook:tb",
        "notebook:conf%5B%27port%27%5D",
        f"notebook:cell:{count}",
        "notebook:cell:loud-cell",
    ]
    assert uris[7].endswith("/a%2Cb.txt") or uris[7].endswith("/a,b.txt")
    assert [b["type"] for b in blocks].count("image") == 1
    text = told(repo)
    assert "DataFrame, 2 rows × 2 columns: depth float64" in text
    assert "DataFrame, 1 rows × 2 columns" in text, "_ is the last result"
    assert "ZeroDivisionError: division by zero" in text
    assert "return x / 0" in text
    assert "/IPython/" not in text, "the user's frames only"
    assert text.count("```python\nprint('loud')\nn + 1\n```") == 2
    assert text.count("Its output:\n```\nloud\n42\n```") == 2
    assert "with a comma" in text
    first = kernel.run("print(first.id)").streams.strip()
    assert (
        kernel.run(f"%%paseo demo/echo --attach run:{first[:10]} --attach first\ngo on").error
        is None
    )
    assert told(repo).count(f"# Run {first[:10]} of demo/image: idle") == 2


def test_names_go_before_files_and_what_is_unknown_says_what_there_is(
    kernel: Kernel, repo: Path
) -> None:
    (repo / "n").write_text("a file")
    (repo / "conf.txt").write_text("text of a file")
    assert kernel.run("%%paseo demo/echo --attach n,conf.txt\nx").error is None
    assert told(repo).startswith("x\n\n41\n")
    assert "text of a file" in told(repo)
    for word, said in (
        ("confi", "did you mean conf?"),
        ("zzz", "there are "),
        ("cell:99", "no cell:99; cells 1 to "),
        ("tb", "no error was raised yet"),
        ("run:01ZZZ", "no run '01ZZZ'"),
        ("conf['host']", "KeyError: 'host'"),
    ):
        assert said in refused(kernel.run(f'%%paseo demo/echo --attach "{word}"\nx')), word
    assert "df, fig, ax, n, conf, _, cell:N, tb, run:ID, and paths of files" in refused(
        kernel.run("%%paseo demo/echo --attach qqqq\nx")
    )


def test_a_cell_in_the_background_returns_at_once(kernel: Kernel, repo: Path) -> None:
    outcome = kernel.run("%%paseo demo/slow --bg -o slow\nseconds=60", timeout=4 * SLACK)
    assert outcome.error is None
    run_id = Project(repo).host.list()[-1]
    assert outcome.metadata[-1]["paseo_nb"]["run_id"] == run_id
    shown = outcome.displays[-1]
    assert set(shown) == {"text/html", "text/markdown", "text/plain"}
    assert f"<code>%paseo stop {run_id[:10]}</code>" in shown["text/html"]
    assert kernel.run("print(slow.id)").streams.split()[0] == run_id
    assert Project(repo).host.spec(run_id).labels == {"background": "yes"}, "for the dashboard"
    stop = re.search(r"`(%paseo stop \w+)`", shown["text/plain"])
    assert stop is not None
    assert kernel.run(stop[1]).error is None
    assert kernel.run("print(slow.state)").streams.strip() == "stopped"
    done = kernel.run("%%paseo demo/crash --bg -o crash\nx")
    assert done.error is None, "it fails in the background"
    assert (
        "RunFailed" in kernel.run("try: crash.wait()\nexcept Exception as e: print(repr(e))").text
    )
