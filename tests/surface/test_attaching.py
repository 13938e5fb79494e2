"""What is given along with a prompt through the Python API: values, figures, runs, files."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from matplotlib.figure import Figure
from PIL import Image

import paseo_nb as paseo
from paseo_nb.attaching import blocks_of
from paseo_nb.describing import cut, table
from paseo_nb.drivers.attached import keep, pictures
from paseo_nb.drivers.claude_fitting import content_of
from paseo_nb.errors import UsageProblem
from paseo_nb.model import now_us
from paseo_nb.verbs import current_host
from paseo_nb.widgets.run_view.rows import Rows

matplotlib.use("Agg")


def texts(given: Any) -> list[str]:
    return [
        block["text"] if block["type"] == "text" else block["resource"]["text"]
        for block in blocks_of(given, current_host())
        if block["type"] != "image"
    ]


def kept(block: Any) -> bytes:
    """What is stored of a block."""
    return (current_host().home / "blobs" / block["data"]["$blob"]).read_bytes()


def test_a_table_is_bounded_markdown_with_shape_and_types(repo: Path) -> None:
    small = pd.DataFrame({"city": ["Ulm", "Rom"], "n": [1, 2.5]})
    assert texts([small]) == [
        "DataFrame, 2 rows × 2 columns: city str, n float64\n\n"
        "| city | n |\n| --- | --- |\n| Ulm | 1.0 |\n| Rom | 2.5 |"
    ]
    assert "| k | v |\n| --- | --- |\n| a | 1 |" in table(
        pd.Series({"a": 1}, name="v").rename_axis("k")
    )
    big = pd.DataFrame(np.arange(100_000).reshape(1000, 100))
    (text,) = texts(big)
    assert text.startswith("DataFrame, 1,000 rows × 100 columns: 0 int64, ")
    assert "(40 of 1,000 rows and 30 of 100 columns shown)" in text
    assert "| 999 | 99900 |" in text
    assert len(text) < 20_000
    assert table(pd.DataFrame({"a": ["y" * 500]})).count("y") < 100


def test_figures_and_images_are_pictures(repo: Path) -> None:
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 3, 2])
    image = Image.new("RGB", (7, 5), "red")
    given = {"fig": figure, "ax": axes, "img": image}
    blocks = blocks_of(given, current_host())
    assert [block["type"] for block in blocks] == [
        "text", "image", "resource", "text", "image", "resource", "text", "image",
    ]  # fmt: skip
    assert [blocks[at]["text"] for at in (0, 3, 6)] == ["[fig:]", "[ax:]", "[img:]"]
    assert blocks[7]["mimeType"] == "image/png"
    assert Image.open(io.BytesIO(kept(blocks[7]))).size == (7, 5)
    told = json.loads(blocks[2]["resource"]["text"])["matplotlib"][0]
    assert told["lines"][0]["y"] == [1, 3, 2]
    told = paseo.run("demo/image", "look", attach=[figure, image]).text
    assert told.count("image, image/png") == 2
    with pytest.warns(UserWarning, match="data only: plotly makes pictures with kaleido"):
        (plot,) = texts([go.Figure(go.Bar(y=[3, 1, 2]))])
    assert '"type":"bar"' in plot, "without kaleido its data"


def test_bytes_are_what_they_begin_like(repo: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (7, 5), "red").save(picture, "JPEG")
    given = [picture.getvalue(), b"plain words", b"%PDF-1.7 \xff\xfe", b"\xff\x00\x01"]
    image, text, pdf, other = blocks_of(given, current_host())
    assert (image["type"], image["mimeType"]) == ("image", "image/jpeg")
    assert text["resource"]["text"] == "plain words"
    assert (pdf["type"], pdf["mimeType"]) == ("resource_link", "application/pdf")
    assert Path(pdf["uri"].removeprefix("file://")).read_bytes() == given[2]
    assert other["mimeType"] == "application/octet-stream"
    (repo / "x.svg").write_text("<svg onload='alert(1)'/>")
    (svg,) = blocks_of("x.svg", current_host())
    assert svg["type"] == "resource", "a picture that is a program is text"


def test_claude_takes_a_pdf_as_a_document_and_others_a_link(repo: Path) -> None:
    Path("a paper.pdf").write_bytes(b"%PDF-1.7 \xff")
    Path("none.pdf").write_bytes(b"\xff no pdf")
    named, document, link = content_of(blocks_of(["a paper.pdf", "none.pdf"], current_host()))
    assert named["text"].startswith("[a paper.pdf](file://")
    assert document["source"]["media_type"] == "application/pdf"
    assert base64.b64decode(document["source"]["data"]) == b"%PDF-1.7 \xff"
    assert link["text"].startswith("[none.pdf](file://")


def test_it_is_stored_once_and_shown(repo: Path) -> None:
    image = Image.new("RGB", (9, 9), "blue")
    image.save("blue.png")
    run = paseo.run("demo/image", "look", attach=["blue.png"])
    assert "image, image/png" in run.text
    run.send("and again", attach=["blue.png"])
    run.wait()
    assert run.text.count("image, image/png") == 1
    host = current_host()
    [stored] = (host.home / "blobs").iterdir()
    assert stored.read_bytes() == Path("blue.png").read_bytes()
    begun = [json.loads(raw) for raw in run.events()[lambda x: x.kind == "turn_start"]["raw"]]
    assert [one["prompt"][1]["data"]["$blob"] for one in begun] == [stored.name] * 2
    assert list(run.turns()["prompt"]) == ["look\n[blue.png]", "and again\n[blue.png]"]
    html = run._repr_mimebundle_()["text/html"]  # pyright: ignore[reportPrivateUsage]
    assert html.count('<img alt="blue.png" src="data:image/png;base64,') == 2
    history = run.history()
    teller = Rows(history, run.spec, run.state, now_us())
    rows = [row for row in map(teller.row, history.items) if row["k"] == "prompt"]
    assert [name for row in rows for name, _ in row["pictures"]] == ["blue.png"] * 2
    assert rows[0]["pictures"][0][1].startswith("data:image/png;base64,")
    stored.unlink()
    run.send("once more").wait()
    html = run._repr_mimebundle_()["text/html"]  # pyright: ignore[reportPrivateUsage]
    run.stop()
    again = paseo.attach(run.id)
    assert "[blue.png]" in again._repr_mimebundle_()["text/html"]  # pyright: ignore[reportPrivateUsage]
    assert "<img" not in again._repr_mimebundle_()["text/html"]  # pyright: ignore[reportPrivateUsage]


def test_a_picture_that_is_none_is_not_shown(repo: Path) -> None:
    blobs = current_host().home / "blobs"
    evil = {"type": "image", "name": "x", "data": keep(blobs, b"<svg onload='alert(1)'/>")}
    outside = {"type": "image", "data": {"$blob": "../../etc/passwd", "bytes": 5}}
    assert pictures([evil, outside, {"data": {"$blob": 5}}, 7], blobs) == []


def test_any_value_is_bounded_text(repo: Path) -> None:
    def area(radius: float) -> float:
        return 3.14 * radius**2

    cyclic: list[Any] = [1]
    cyclic.append(cyclic)
    told = texts(
        {"conf": {"a": [1]}, "text": "notes.md", "f": area, "s": {1}, "c": cyclic, "none": None}
    )
    assert told[0] == '{\n "a": [\n  1\n ]\n}'
    assert told[1] == "notes.md", "with a name it is a text"
    assert "radius**2" in told[2]
    assert told[3:] == ["{1}", told[4], "None"]
    assert "Recursion" in told[4]
    (long,) = texts({"long": "a" * 50_000 + "z"})
    assert len(long) < 20_200
    assert "… 30,001 of 50,001 characters left out …" in long
    assert long.endswith("z")
    assert cut("x" * 10, 10) == "x" * 10


def test_a_value_whose_code_fails_is_told_by_name(repo: Path) -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError("no way")

    with pytest.raises(UsageProblem, match=r"attach: odd cannot be shown: ValueError\('no way'\)"):
        paseo.start("demo/echo", "x", attach={"odd": Broken()})
    assert len(paseo.ls()) == 0


def test_a_run_goes_along_in_short(repo: Path) -> None:
    fix = paseo.run("demo/fixer", "The tests fail. Fix the code.", worktree="fix-math")
    fix.send("/echo and now?").wait()
    crashed = paseo.run("demo/echo", "well", attach=[fix, f"run:{fix.id[:10]}"])
    assert crashed.state == "idle"
    digest = fix.digest()
    assert texts([fix]) == texts(f"run:{fix.id}") == [digest]
    assert digest.startswith(f"# Run {fix.id[:10]} of demo/fixer: idle")
    assert "1. The tests fail. Fix the code.: end_turn" in digest
    assert "## Prompt\n/echo and now?" in digest
    assert "## Outcome\nend_turn" in digest
    assert "- tidelog/durations.py +1 -1" in digest
    assert "on branch fix-math" in digest
    with pytest.raises(UsageProblem, match="no run '01ZZ'"):
        paseo.start("demo/echo", "x", attach="run:01ZZ")


def test_a_failed_tool_is_in_the_digest_and_what_went_along_is_named(repo: Path) -> None:
    run = paseo.run("demo/asker", "run: ls nowhere", mode="auto", attach={"note": "long " * 99})
    assert run.turns()["prompt"][0] == "run: ls nowhere\n[note]"
    assert "## Prompt\nrun: ls nowhere\n[note]\n" in run.digest()
    assert "## Tool errors\n- execute ls nowhere: ls: cannot access 'nowhere'" in run.digest()


def test_an_agent_without_images_is_told_before_the_launch(repo: Path) -> None:
    text = Path("paseo_nb.toml")
    text.write_text('[providers.blind]\nextends = "demo"\nimages = false\n')
    paseo.trust(str(text))
    image = Image.new("RGB", (2, 2))
    with pytest.raises(UsageProblem, match="blind takes no images"):
        paseo.start("blind/echo", "look", attach=[image])
    assert len(paseo.ls()) == 0
    run = paseo.run("blind/echo", "look")
    with pytest.raises(UsageProblem, match="blind takes no images"):
        run.send("and this?", attach=[image])


def test_files_are_taken_as_before(repo: Path) -> None:
    told = paseo.run("demo/image", "look", attach=["README.md", Path("tidelog/offsets.py")]).text
    assert "README.md" in told
    assert "offsets.py" in told
    assert "README.md" in paseo.run("demo/image", "look", attach="README.md").text
    with pytest.raises(UsageProblem, match="attach='no.md': No such file"):
        paseo.start("demo/echo", "x", attach=["no.md"])
