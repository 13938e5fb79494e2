"""Nothing that an agent writes becomes markup, a script, a request or a lie about its own text."""

from __future__ import annotations

import pandas as pd
import pytest
from markdown_it import MarkdownIt
from nbconvert.filters.markdown_mistune import markdown2html_mistune

from paseo_nb.widgets import frame_view
from paseo_nb.widgets.render import RunRow, bundle, diff_html, metadata, runs_table

from . import tales
from .checks import CONTROL, MARKDOWN, read, visible, wrong_in_html
from .payloads import PAYLOADS, everywhere, patch_with

# The most trusting reader of Markdown that a viewer could be.
_parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
_parser.validateLink = lambda url: True  # type: ignore[method-assign]
LOOKS = [
    ("waiting", True),
    ("running", True),
    ("idle", False),
    ("error", False),
    ("waiting", False),
]


def bundles_of(text: str) -> list[dict[str, str]]:
    tale, spec, diff = everywhere(text)
    out = [
        bundle(tale.history, spec, state=state, diff=diff, now_us=tale.us, live=live, cached=True)
        for state, live in LOOKS
    ]
    tale.history.items = tale.history.items[:12]  # so that no limit hides the beginning
    out.append(bundle(tale.history, spec, state=text, diff=diff, now_us=tale.us, live=True))
    row = RunRow(text, text, text, text, tales.T0, 1, 0.1, text, text)
    out.append(runs_table([row, row], now_us=tales.T0))
    out.append(frame_bundle(text))
    return out


def frame_bundle(text: str) -> dict[str, str]:
    """A frame with the text in every kind of cell, and as the name of a column."""
    names = pd.Index(["run_id", "state", "title", "input", "label", text], dtype=object)
    rows = [[text] * 6, [None] * 6, [[text], {text: text}, text, 1, 2.5, text]]
    frame = pd.DataFrame(rows, columns=names, dtype=object)
    frame.attrs["paseo"] = "sql"
    return {
        "text/html": frame_view.as_html(frame),
        "text/markdown": frame_view.as_markdown(frame),
        "text/plain": frame_view.as_plain(frame, 120),
    }


@pytest.mark.parametrize("name", PAYLOADS)
def test_html_has_only_our_tags_attributes_and_web_links(name: str) -> None:
    for found in bundles_of(PAYLOADS[name]):
        assert wrong_in_html(found["text/html"]) == []
    assert wrong_in_html(diff_html(patch_with(PAYLOADS[name]), pointer="x")) == []
    assert wrong_in_html(diff_html(PAYLOADS[name])) == []


@pytest.mark.parametrize("name", PAYLOADS)
def test_markdown_stays_harmless_where_html_is_read_in_it(name: str) -> None:
    for found in bundles_of(PAYLOADS[name]):
        text = found["text/markdown"]
        assert not CONTROL.search(text)
        assert read(_parser.render(text), MARKDOWN).wrong == []


@pytest.mark.parametrize("name", PAYLOADS)
def test_markdown_stays_harmless_in_nbconvert(name: str) -> None:
    allowed = {tag: attrs | {"class", "id"} for tag, attrs in MARKDOWN.items()}
    allowed["input"] = {"class", "type", "disabled", "checked"}  # a plan's boxes
    allowed["span"] = {"class"}  # highlighted code
    for found in bundles_of(PAYLOADS[name]):
        wrong = read(markdown2html_mistune(found["text/markdown"]), allowed).wrong
        assert wrong == []


@pytest.mark.parametrize("name", PAYLOADS)
def test_plain_text_has_no_control_characters(name: str) -> None:
    for found in bundles_of(PAYLOADS[name]):
        assert not CONTROL.search(found["text/plain"])
        found["text/plain"].encode()


def test_every_place_is_really_shown() -> None:
    """The suite above would pass on an empty output: each place's own word must be there."""
    places = (
        "title prompt message thought plan tool_title input output location option reason limit "
        "error hint branch model diff_path diff_line question"
    )
    words = {place: f"{place.title()}Word".replace("_", "") for place in places.split()}
    tale = tales.Tale().prompt(words["prompt"])
    tale.says(words["message"]).thinks(words["thought"]).plans(("pending", words["plan"]))
    tale.begins("a", "other", words["tool_title"]).ends("a", rawOutput=words["output"])
    tale.begins("b", "execute", "x", rawInput={"command": words["input"]}).ends("b")
    tale.begins("c", "read", "x", locations=[{"path": words["location"]}]).ends("c")
    tale.edits("d", words["diff_path"], "old", words["diff_line"])
    asked = tale.asks("e", "x")
    tale.answers(asked, "reject", message=words["reason"])
    tale.line("own", "limit", {"message": words["limit"]})
    error = {"code": "x", "message": words["error"], "hint": words["hint"]}
    tale.ended("error", error=error)
    tale.update("session_info_update", title=words["title"])
    tale.prompt("again").asks("f", words["question"], options=[{"name": words["option"]}])
    spec = tales.spec(branch=words["branch"], model=words["model"])
    shown = bundle(tale.history, spec, state="waiting", diff=None, now_us=tale.us, live=False)
    for form in ("text/html", "text/markdown", "text/plain"):
        hidden = {"thought", "output"} if form != "text/html" else set()
        missing = [place for place, word in words.items() if word not in shown[form]]
        assert set(missing) <= hidden, form


def test_text_is_kept_not_swallowed() -> None:
    """Escaping shows what was written; it does not drop it."""
    tale = tales.Tale().prompt("p").says("Use `<b>` & <script>alert(1)</script> for 3 < 4.").ended()
    found = bundle(tale.history, tales.spec(), state="idle", diff=None, now_us=tale.us, live=False)
    assert "Use <b> & <script>alert(1)</script> for 3 < 4." in visible(found["text/html"])
    assert "Use `<b>` & <script>alert(1)</script> for 3 < 4." in found["text/plain"]
    rendered = "".join(read(_parser.render(found["text/markdown"]), MARKDOWN).text)
    assert "Use <b> & <script>alert(1)</script> for 3 < 4." in rendered


def test_reordering_characters_are_shown_by_name() -> None:
    tale = tales.Tale().prompt("p").says("access = \u202e'nimda'")
    found = bundle(
        tale.history, tales.spec(), state="running", diff=None, now_us=tale.us, live=True
    )
    assert "[U+202E]" in found["text/html"]
    assert "[U+202E]" in found["text/plain"]


def test_links_lead_to_the_web_and_say_so_otherwise() -> None:
    tale = tales.Tale().prompt("p")
    tale.says("[good](https://a.example/x?q=1) [bad](javascript:x) ![pic](https://b.example/p.png)")
    found = bundle(
        tale.history, tales.spec(), state="running", diff=None, now_us=tale.us, live=True
    )
    html = found["text/html"]
    assert (
        'href="https://a.example/x?q=1" target="_blank" rel="noopener noreferrer nofollow"' in html
    )
    assert 'href="https://b.example/p.png"' in html
    assert "<img" not in html
    assert "bad (javascript:x) [image: pic]" in visible(html)


def test_metadata_is_json_whatever_the_agent_said() -> None:
    import json

    tale, spec, _ = everywhere(PAYLOADS["surrogate"])
    json.dumps(metadata(tale.history, spec))
