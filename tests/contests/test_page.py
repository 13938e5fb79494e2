"""What a match looks like: side by side, blind, harmless, and the same in a saved notebook."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from minds import Minds
from nbclient import NotebookClient

import paseo_nb as paseo
from paseo_nb import arena_commands
from paseo_nb.errors import UsageProblem
from paseo_nb.widgets.arena.live import ArenaWidget
from paseo_nb.widgets.arena.page import Shown, page


def test_the_page_of_a_blind_match_has_buttons_and_no_names(repo: Path, minds: Minds) -> None:
    minds.has(
        "def evil(prompt, turn, folder):\n"
        "    (folder / 'x<img src=y>.txt').write_text('alpha was here <script>')\n"
        "    return '<script>alert(1)</script> I am evil, made of gpt-5.4'\n"
    )
    match, name = arena_commands.begun(
        ["alpha", "evil", "-o", "match", "--seed", "1"], "write <b>it</b>\n"
    )
    assert name == "match"
    first = page(Shown(match), live=True)
    assert 'data-do="stop"' in first or "data-seats" in first
    match.wait()
    shown = page(Shown(match), live=True)
    assert re.findall(r'data-seats="([^"]+)"', shown) == ["A B"]
    assert "<button" not in page(Shown(match)), "a saved one has no buttons"
    text = match._repr_mimebundle_()
    for told in (shown, text["text/html"], text["text/plain"]):
        assert not re.search(r"\b(alpha|evil|gpt-5.4)\b", told), told
        assert "<script" not in told
        assert "<img" not in told
    assert "write &lt;b&gt;it&lt;/b&gt;" in shown
    assert "[name] here: I added total" in shown
    assert "+def total(xs):" in shown
    clicks: list[int] = []
    widget = ArenaWidget(match, lambda: clicks.append(1))
    widget._do("vote X")
    assert match.vote_given is None
    widget._do("vote A", "short")
    assert clicks
    assert match.vote_given == "A"
    after = page(Shown(match), live=True)
    assert "Voted “short”" in after
    assert {"alpha", "evil"} <= set(re.findall(r"alpha|evil", after))
    assert "✓ selected" in after
    assert f"Selected: A, {match.winner}" in match._repr_mimebundle_()["text/plain"]


def test_tests_that_hang_or_are_not_there_are_told(repo: Path, minds: Minds) -> None:
    for command, said in (("sleep 60", "did not end within"), ("nowhere", "could not be run")):
        match = paseo.arena("do it", ["alpha", "beta"], tests=command, test_timeout=1).wait()
        assert f"the tests {said}" in match._repr_mimebundle_()["text/plain"]
        assert match.winner is None


def test_a_cell_says_what_it_takes(repo: Path, minds: Minds, capsys: Any) -> None:
    with pytest.raises(UsageProblem, match="-o takes a Python name"):
        arena_commands.begun(["alpha", "beta", "-o", "a b"], "x")
    with pytest.raises(UsageProblem, match="required: AGENT"):
        arena_commands.begun([], "x")
    assert paseo.matches().empty
    told = arena_commands.arena_parser().format_help()
    for option in ("--tests", "--hidden", "--judge", "--same-family", "--tie"):
        assert option in told


VOTED_ELSEWHERE = """
import subprocess, sys
match.wait()
vote = f"import paseo_nb as paseo; paseo.match({match.id!r}).vote('A')"
subprocess.run([sys.executable, "-c", vote], check=True)
"""


def test_a_saved_notebook_has_a_vote_that_was_given_elsewhere(repo: Path) -> None:
    """Nobody in the notebook tells of it but a thread, whose updates nbclient does not take."""
    match = (
        "import paseo_nb as paseo\nmatch = paseo.arena('x', ['demo/echo', 'demo/writer'])\nmatch"
    )
    cells = [nbformat.v4.new_code_cell(text) for text in (match, VOTED_ELSEWHERE)]
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    NotebookClient(made, timeout=120, resources={"metadata": {"path": str(repo)}}).execute()
    [output] = made.cells[0].outputs
    assert re.search(r"Selected: A, demo/(echo|writer)", json.dumps(output.data)), output.data
