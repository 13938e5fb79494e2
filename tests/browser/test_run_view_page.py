"""The run view in Chromium with a scripted kernel: what a reader sees, and what the kernel hears."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser import run_view_tale as tale
from browser.run_view_page import Seen, begin, browser, host_page, ops, sent
from playwright.sync_api import Browser, Locator, Page, expect

pytestmark = pytest.mark.browser
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture
def show(chromium: Browser) -> Iterator[Open]:
    """Shows a run; at the end nothing may have been requested, thrown or opened."""
    opened: list[tuple[Page, Seen]] = []

    def show(state: dict[str, Any], **options: Any) -> Page:
        page, seen = host_page(chromium, **options)
        opened.append((page, seen))
        begin(page, state)
        return page

    yield show
    for page, seen in opened:
        assert seen == []
        page.context.close()


def scroller(page: Page) -> Locator:
    return page.locator(".rv-scroll")


def gap_to_tail(page: Page) -> float:
    return page.evaluate(
        "() => { const s = document.querySelector('.rv-scroll'); return s.scrollHeight - s.scrollTop - s.clientHeight }"
    )


# -------------------------------------------------------------------- what is shown


def test_the_head_tells_state_time_tokens_money_and_context(show: Open) -> None:
    page = show(tale.running(budget_usd=0.38))
    head = page.locator(".rv-head")
    for text in ("Fix test_offset_without_colon", "Running", "136k tok", "$0.32", "$0.06 left", "16%",
                 "claude/opus-4.6", "Ask before commands", "paseo/fix-offset", "01K3VQ8R"):  # fmt: skip
        expect(head).to_contain_text(text)
    before = page.locator(".n-time b").text_content() or ""
    expect(page.locator(".n-time b")).not_to_have_text(before, timeout=10_000)
    ops(page, ["h", {"tokens": None, "cost_usd": None, "context": None}])
    expect(page.locator(".n-tok")).to_be_hidden()  # not reported is not zero
    expect(page.locator(".n-cost")).to_be_hidden()
    expect(page.locator(".ctx")).to_be_hidden()


def test_rows_of_every_kind(show: Open) -> None:
    page = show(tale.running())
    scroller(page).evaluate("e => e.scrollTop = 0")
    body = page.locator(".rv-rows")
    expect(body).to_contain_text("Thought for 6 s")
    thought = page.locator("details.reason")
    assert not thought.evaluate("e => e.open")
    thought.locator("summary").click()
    expect(thought).to_contain_text("assumes that index 3 is a colon")
    assert page.locator(".term .a1").first.text_content() == (
        "E       assert datetime.timedelta(seconds=18000) == datetime.timedelta(seconds=19800)"
    )
    expect(page.locator(".term .b").first).to_have_text("1 failed, 13 passed in 0.42s")
    expect(page.locator(".more").first).to_contain_text("Last 6 of 31 lines")
    expect(page.locator(".plan")).to_contain_text("3 of 4")
    assert (
        page.locator(".plan li").nth(3).text_content()
        == "In progressNote the change in the changelog"
    )
    scroller(page).evaluate("e => e.scrollTop = 1e9")
    lines = page.locator(".diff .lines > div").evaluate_all(
        "all => all.map(e => [e.className, ...[...e.children].map(c => c.firstChild?.textContent ?? '')])"
    )
    assert lines[0] == ["hunk"] or lines[0][0] == "hunk"
    assert lines[1][1:4] == ["8", "8", ""]
    assert lines[2][:4] == ["add", "", "9", "+"]
    assert lines[6][:4] == ["del", "13", "", "−"]
    assert lines[12][1:3] == ["15", "20"]
    assert page.locator(".diff .kw").first.text_content() == "def"
    expect(page.locator(".call.bad .res").last).to_have_text(" not found")


def test_undo_and_apply_ask_first_and_say_what_came_of_it(show: Open) -> None:
    page = show(tale.ended("done", can={"undo": True, "apply": True}))
    page.evaluate(
        """() => kernel.answers = {
          apply: {ok: true, said: "2 files would change in main, without a conflict", clear: true, onto: "main"},
          undo: {ok: false, said: "`a.py` was changed since"},
        }"""
    )
    page.get_by_role("button", name="Apply…").click()
    panel = page.locator(".rv-diff")
    expect(panel).to_contain_text("2 files would change in main, without a conflict")
    assert [m.get("dry_run") for m in sent(page, "apply")] == [True]
    page.evaluate(
        "kernel.answers.apply = {ok: true, said: '2 files changed in main: commit 0123456789'}"
    )
    panel.get_by_role("button", name="Apply to main").click()
    expect(panel).to_contain_text("commit 0123456789")
    assert sent(page, "apply")[-1]["onto"] == "main"
    page.get_by_role("button", name="Undo turn").click()
    assert sent(page, "undo") == [], "asked first"
    panel.get_by_role("button", name="Undo", exact=True).click()
    expect(panel).to_contain_text("a.py was changed since")
    page.get_by_role("button", name="Undo turn").click()
    expect(panel).to_be_hidden()
    ops(page, ["h", {"can": {}}])
    expect(page.get_by_role("button", name="Apply…")).to_have_count(0)


def test_neighbouring_calls_share_a_box_across_rows_that_show_nothing(show: Open) -> None:
    rows = [tale.ROWS[3], {"k": ""}, tale.ROWS[4], tale.ROWS[1], tale.ROWS[8]]
    page = show({"head": tale.HEAD, "rows": rows, "asks": []})
    looks = page.locator(".u").evaluate_all("all => all.map(e => e.className)")
    assert looks == ["u first goes-on", "u none", "u joins", "u", "u"]
    first, empty, second = (page.locator(".u").nth(i).bounding_box() for i in range(3))
    assert first
    assert second
    assert empty
    assert empty["height"] == 0
    assert abs(first["y"] + first["height"] - second["y"]) < 1


def test_text_streams_and_only_the_open_block_is_made_again(show: Open) -> None:
    page = show({"head": tale.HEAD, "rows": [{"k": "text", "text": "One.\n\nTwo"}], "asks": []})
    page.evaluate("() => { document.querySelector('.md').firstElementChild.mark = 1 }")
    ops(page, ["t", 0, " is **bold**.\n\n```python\ndef f"])
    ops(page, ["t", 0, "(): pass\n```\n\n- a\n- b"])
    expect(page.locator(".md strong")).to_have_text("bold")
    expect(page.locator(".md .kw").first).to_have_text("def")
    expect(page.locator(".md li.tip")).to_have_text("b")
    assert page.evaluate("() => document.querySelector('.md').firstElementChild.mark") == 1
    text = "One.\n\nTwo is bold.\n\n```python\ndef f(): pass\n```\n\n- a\n- b"
    fresh = show(
        {
            "head": tale.HEAD,
            "rows": [{"k": "text", "text": text.replace("bold", "**bold**")}],
            "asks": [],
        }
    )
    inner = "() => document.querySelector('.md').innerHTML.replaceAll(' class=\"\"', '')"
    assert page.evaluate(inner) == fresh.evaluate(inner)


def test_a_text_given_in_any_pieces_reads_as_if_given_at_once(show: Open) -> None:
    text = (
        "# Head\n\nPara with [a link](https://a.example/x) and `code`.\nsecond line\n\n1. one\n2. two\n\n"
        "   more of two\n\n> quote\n> on\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n~~~js\nlet x = 1 // y\n\n~~~\n\n"
        "[first]: https://a.example/1\n\nThen\n\n[ref]: https://a.example/ref\n\nSee [one][first] and [this][ref]. Emoji 👩‍🔬 and \x1b[31mred\x1b[0m, a\r\nb and \u202eevil\u202c.\n\n***\n\nLast *word* "
    )
    whole = show({"head": tale.HEAD, "rows": [{"k": "text", "text": text}], "asks": []})
    inner = "() => document.querySelector('.md').innerHTML.replaceAll(' class=\"\"', '')"
    wanted = whole.evaluate(inner)
    for seed in range(4):
        rng = random.Random(seed)
        page = show({"head": tale.HEAD, "rows": [{"k": "text", "text": ""}], "asks": []})
        units = text.encode("utf-16-le")
        at = 0
        while at < len(units) // 2:
            step = rng.randint(1, 9)
            piece = units[at * 2 : (at + step) * 2].decode("utf-16-le", "surrogatepass")
            page.evaluate("piece => kernel.ops([['t', 0, JSON.parse(piece)]])", _json_of(piece))
            at += step
            if rng.random() < 0.3:
                page.evaluate("() => new Promise(requestAnimationFrame)")
        page.wait_for_timeout(250)
        assert page.evaluate(inner) == wanted


def _json_of(text: str) -> str:
    import json

    return json.dumps(text)


def test_a_running_command_shows_its_last_lines_and_counts(show: Open) -> None:
    row = tale.call(
        "execute",
        "Run",
        "make",
        running=True,
        open=True,
        took_s=None,
        output="line 0\n",
        output_lines=None,
    )
    page = show({"head": tale.HEAD, "rows": [row], "asks": []})
    for number in range(1, 40):
        ops(page, ["o", 0, f"line {number}\n"])
    expect(page.locator(".term")).to_contain_text("line 39")
    assert "line 20\n" not in (page.locator(".term").text_content() or "")
    assert (page.locator(".call .t").text_content() or "").count(":") == 1
    ops(page, ["o", 0, "line 40\n", 39])  # the kernel keeps a window, too
    assert page.evaluate("() => document.querySelector('.term').textContent") is not None
    more = {
        "running": False,
        "took_s": 3.5,
        "result": "exit 2",
        "tone": "bad",
        "failed": True,
        "output_lines": 41,
        "keep": "end",
        "more": True,
    }
    ops(page, ["m", 0, more])
    expect(page.locator(".call .res")).to_have_text("exit 2")
    expect(page.locator(".call .t")).to_have_text("3.5 s")
    page.evaluate(
        "() => { kernel.whole = {output: [...Array(41).keys()].map(i => 'line ' + i).join('\\n'), cut: false} }"
    )
    page.get_by_role("button", name="Show all").click()
    expect(page.locator(".term")).to_contain_text("line 5\n")


def test_a_call_that_fails_opens_by_itself_unless_the_reader_closed_it(show: Open) -> None:
    rows = [
        tale.call("execute", "Run", name, running=True, took_s=None, output="a")
        for name in ("x", "y")
    ]
    page = show({"head": tale.HEAD, "rows": rows, "asks": []})
    calls = page.locator("details.call")
    calls.nth(1).locator("summary").click()
    calls.nth(1).locator("summary").click()
    failed = {
        "running": False,
        "failed": True,
        "open": True,
        "result": "exit 1",
        "tone": "bad",
        "output": "no",
    }
    ops(page, ["m", 0, failed], ["m", 1, failed])
    expect(calls.nth(0).locator(".term")).to_be_visible()
    assert not calls.nth(1).evaluate("e => e.open")


# -------------------------------------------------------------------- the list


def test_only_visible_rows_are_in_the_page_and_nothing_jumps(show: Open) -> None:
    page = show({"head": tale.HEAD, "rows": tale.long_run(6000), "asks": []})
    assert gap_to_tail(page) < 2
    result = page.evaluate(
        """async () => {
          const s = document.querySelector('.rv-scroll'), frame = () => new Promise(requestAnimationFrame);
          const box = s.getBoundingClientRect();
          let most = 0, worst = 0, blank = 0;
          for (let i = 0; i < 250; i++) {
            const up = i % 25 === 0 ? 9000 : 130;
            const seen = [...document.querySelectorAll('.u')].filter(e => { const b = e.getBoundingClientRect(); return b.height && b.bottom > box.top + 200 && b.top < box.bottom - 200 });
            const before = seen.map(e => [e, e.getBoundingClientRect().top]);
            const from = s.scrollTop;
            s.scrollTop = from - up;
            const moved = from - s.scrollTop;
            await frame(); await frame();
            if (up === 130) for (const [e, top] of before) if (e.isConnected) worst = Math.max(worst, Math.abs(e.getBoundingClientRect().top - top - moved));
            most = Math.max(most, document.querySelectorAll('.u').length);
            const middle = document.elementFromPoint(box.left + 40, (box.top + box.bottom) / 2);
            if (!middle?.closest('.u')) blank++;
          }
          return {most, worst, blank};
        }"""
    )
    assert result["most"] < 120
    assert result["worst"] < 2  # px that a visible row moved by anything but the scrolling
    assert result["blank"] <= 40  # the gaps between rows; never whole screens
    page.keyboard.press("Home")


def test_the_tail_is_followed_only_while_the_reader_is_there(show: Open) -> None:
    page = show({"head": tale.HEAD, "rows": tale.long_run(60), "asks": []})
    assert gap_to_tail(page) < 2
    ops(page, ["r", 60, {"k": "text", "text": "The end of it. " * 40}])
    page.wait_for_timeout(200)
    assert gap_to_tail(page) < 2
    scroller(page).evaluate("e => { e.scrollTop -= 700 }")
    page.wait_for_timeout(100)
    place = "() => { const b = document.querySelector('.rv-scroll').getBoundingClientRect(); const u = document.elementFromPoint(b.left + 60, b.top + 90).closest('.u'); return [u.dataset.row, u.getBoundingClientRect().top] }"
    before = page.evaluate(place)
    for number in range(12):
        ops(page, ["r", 61 + number, tale.ROWS[1]], ["t", 60, " more"])
    page.wait_for_timeout(200)
    assert page.evaluate(place) == before
    newer = page.locator(".rv-new")
    expect(newer).to_have_text("12 new")
    newer.click()
    page.wait_for_timeout(100)
    assert gap_to_tail(page) < 2
    expect(newer).to_be_hidden()
    ops(page, ["t", 72, "and on " * 200])
    page.wait_for_timeout(200)
    assert gap_to_tail(page) < 2


def test_what_is_unfolded_stays_in_place_and_stays_unfolded(show: Open) -> None:
    rows = [
        *tale.long_run(40),
        *(tale.call("read", "Read", f"last{n}.py", output="text\n" * 30) for n in range(8)),
    ]
    page = show({"head": tale.HEAD, "rows": rows, "asks": []})
    summary = page.locator("summary", has_text="last3.py")
    top = (summary.bounding_box() or {})["y"]
    summary.click()
    page.wait_for_timeout(200)
    assert abs((summary.bounding_box() or {})["y"] - top) < 1
    page.evaluate("() => document.activeElement.blur()")
    scroller(page).evaluate("e => { e.scrollTop = 0 }")
    page.wait_for_timeout(150)
    assert summary.count() == 0
    scroller(page).evaluate("e => { e.scrollTop = 1e9 }")
    page.wait_for_timeout(150)
    assert page.locator("details.call", has_text="last3.py").evaluate("e => e.open")


def test_a_row_with_the_focus_stays_in_the_page(show: Open) -> None:
    page = show({"head": tale.HEAD, "rows": tale.long_run(400), "asks": []})
    page.locator(".u summary").last.focus()
    scroller(page).evaluate("e => { e.scrollTop = 0 }")
    page.wait_for_timeout(150)
    assert page.evaluate("() => document.activeElement.tagName") == "SUMMARY"


def test_short_runs_have_their_natural_height_and_long_ones_a_scroll(show: Open) -> None:
    page = show({"head": tale.HEAD, "rows": tale.ROWS[:4], "asks": []})
    assert scroller(page).evaluate("e => e.scrollHeight <= e.clientHeight")
    page = show({"head": tale.HEAD, "rows": tale.long_run(200), "asks": []})
    assert scroller(page).evaluate("e => e.clientHeight") <= 600
    assert (page.locator(".pn-run").bounding_box() or {})["height"] < 860


# -------------------------------------------------------------------- questions


def test_a_question_is_answered_by_button(show: Open) -> None:
    page = show(tale.waiting())
    ask = page.locator(".ask")
    expect(ask).to_contain_text("Run this command?")
    expect(ask).to_contain_text("asked 0:")
    assert page.evaluate("() => document.activeElement === document.body")  # it takes no focus
    page.get_by_role("button", name="Allow once").click()
    page.wait_for_timeout(50)
    assert [{k: v for k, v in one.items() if k != "id"} for one in sent(page, "allow")] == [
        {"k": "do", "verb": "allow", "permission": "p12", "option": "once"}
    ]
    ops(page, ["a", []], ["r", 9, tale.ANSWERED])
    expect(ask).to_have_count(0)
    expect(page.locator(".answered")).to_have_text(
        'Permission to run python -m pip install "hypothesis>=6,<7": allowed once after 18 s'
    )


def test_a_question_about_one_file_is_its_change_and_stands_in_sight(show: Open) -> None:
    ask = tale.ASK | {
        "question": "Make this edit?",
        "subject": "tidelog/parse.py",
        "editable": False,
        "diffs": [tale.DIFF],
    }
    page = show(tale.running(), height=900)
    ops(page, ["a", [ask]])
    expect(page.locator(".ask .diff")).to_be_visible()
    expect(page.locator(".ask .subject")).to_have_count(0)
    expect(page.get_by_role("button", name="Allow once")).to_be_in_viewport()
    page.wait_for_timeout(200)
    assert gap_to_tail(page) < 2


def test_an_edited_input_is_sent_and_keys_count_only_with_the_focus(show: Open) -> None:
    page = show(tale.waiting())
    page.keyboard.press("1")
    page.locator(".box textarea").press_sequentially("1")
    page.locator(".ask textarea").fill("python -m pip install hypothesis")
    page.locator(".ask textarea").press_sequentially("1")
    assert sent(page, "allow") == []
    page.locator(".ask").focus()
    page.keyboard.press("2")
    page.wait_for_timeout(50)
    done = sent(page, "allow")
    assert len(done) == 1
    assert done[0]["option"] == "always"
    assert done[0]["input"] == "python -m pip install hypothesis1"


def test_a_denial_asks_for_the_reason_in_place(show: Open) -> None:
    page = show(tale.waiting())
    page.locator(".ask").focus()
    page.keyboard.press("3")
    reason = page.get_by_label("Reason")
    expect(reason).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Allow once")).to_be_visible()
    assert sent(page, "deny") == []
    page.get_by_role("button", name="Deny…").click()
    reason.fill("use uv")
    page.keyboard.press("Enter")
    page.wait_for_timeout(50)
    done = sent(page, "deny")
    assert [done[0][k] for k in ("permission", "reason", "option")] == ["p12", "use uv", "no"]


def test_an_answer_that_fails_says_why_and_can_be_given_again(show: Open) -> None:
    page = show(tale.waiting())
    page.evaluate("() => { kernel.answers.allow = {ok: false, said: 'The run is not reachable.'} }")
    page.get_by_role("button", name="Allow once").click()
    expect(page.locator(".ask")).to_contain_text("The run is not reachable.")
    expect(page.get_by_role("button", name="Allow once")).to_be_enabled()


def test_a_question_answered_elsewhere_closes_and_says_so(show: Open) -> None:
    page = show(tale.waiting())
    ops(page, ["a", [], {"p12": "Allowed in the dashboard"}])
    expect(page.locator(".ask")).to_have_count(0)
    expect(page.locator(".ask-gone")).to_contain_text("Allowed in the dashboard")
    ops(page, ["a", [tale.ASK | {"id": "p13"}]])
    expect(page.locator(".ask")).to_have_count(1)
    ops(page, ["a", []])
    expect(page.locator(".ask-gone").last).to_contain_text("Answered elsewhere")


# -------------------------------------------------------------------- telling it what to do


def test_follow_ups_queue_steer_and_interrupt(show: Open) -> None:
    page = show(tale.running())
    text = page.get_by_label("Follow-up message")
    text.fill("add a line")
    text.press("Alt+2")
    expect(page.get_by_role("radio", name="Steer")).to_have_attribute("aria-checked", "true")
    expect(page.locator(".hint")).to_have_text("Read at the next model call")
    text.press("Control+Enter")
    expect(text).to_have_value("")
    text.fill("stop that")
    page.get_by_role("radio", name="Interrupt").click()
    page.get_by_role("button", name="Send").click()
    page.wait_for_timeout(50)
    assert [(one["text"], one["when"]) for one in sent(page, "send")] == [
        ("add a line", "steer"),
        ("stop that", "interrupt"),
    ]


def test_a_way_that_the_agent_lacks_is_off_and_says_why(show: Open) -> None:
    why = "codex takes no message in mid-turn. Queue it, or interrupt."
    page = show(tale.running(can=tale.CAN | {"steer": why}))
    steer = page.get_by_role("radio", name="Steer")
    expect(steer).to_have_attribute("aria-disabled", "true")
    expect(steer).to_have_attribute("title", why)
    steer.click(force=True)
    expect(steer).to_have_attribute("aria-checked", "false")
    expect(page.locator(".hint")).to_have_text(why)


def test_a_message_that_is_not_taken_stays_in_the_box(show: Open) -> None:
    page = show(tale.running())
    page.evaluate("() => { kernel.answers.send = {ok: false, said: 'The run has ended.'} }")
    page.get_by_label("Follow-up message").fill("hello")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".hint")).to_have_text("The run has ended.")
    expect(page.get_by_label("Follow-up message")).to_have_value("hello")


def test_queued_messages_are_shown_and_can_be_taken_back(show: Open) -> None:
    page = show(
        tale.running(
            queued=[{"id": "q1", "text": "then the docs"}, {"id": "q2", "text": "then rest"}]
        )
    )
    expect(page.locator(".queued li")).to_have_count(2)
    page.get_by_role("button", name="Edit").first.click()
    expect(page.get_by_label("Follow-up message")).to_have_value("then the docs")
    page.get_by_role("button", name="Take back").last.click()
    page.wait_for_timeout(50)
    assert [one["queued"] for one in sent(page, "unqueue")] == ["q1", "q2"]


def test_stop_reads_stopping_until_the_state_changes(show: Open) -> None:
    page = show(tale.running())
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".rv-stop")).to_have_text("Stopping…")
    expect(page.locator(".rv-stop")).to_be_disabled()
    assert len(sent(page, "cancel")) == 1
    expect(page.get_by_role("button", name="End the agent")).to_be_visible(timeout=15_000)
    page.get_by_role("button", name="End the agent").click()
    assert len(sent(page, "stop")) == 1
    ops(page, ["h", {"state": "stopped", "shape": "stopped", "word": "Stopped", "turn_took_s": 12}])
    expect(page.locator(".rv-head")).to_contain_text("Stopped")
    expect(page.locator(".rv-stop")).to_have_count(0)


def test_model_and_mode_are_chosen_and_a_failure_is_told(show: Open) -> None:
    page = show(
        tale.running(
            efforts=[{"id": "low", "name": "Low"}, {"id": "high", "name": "High"}], effort="low"
        )
    )
    page.get_by_label("Model").select_option("sonnet-4.6")
    expect(page.locator(".rv-say")).to_contain_text("next turn")
    page.get_by_label("Permissions").select_option("auto")
    page.get_by_label("Effort").select_option("high")
    page.wait_for_timeout(50)
    assert [sent(page, verb)[0]["value"] for verb in ("set_model", "set_mode", "set_effort")] == [
        "sonnet-4.6",
        "auto",
        "high",
    ]
    page.evaluate("() => { kernel.answers.set_model = {ok: false, said: 'No such model.'} }")
    page.get_by_label("Model").select_option("sonnet-4.6")
    expect(page.locator(".rv-say.err")).to_have_text("No such model.")
    ops(page, ["h", {"can": {"set_model": "codex offers no choice of model."}}])
    expect(page.get_by_label("Model")).to_have_count(0)


def test_the_diff_is_got_when_asked_for(show: Open) -> None:
    page = show(tale.running())
    page.evaluate("file => { kernel.files = [file] }", tale.DIFF)
    page.get_by_role("button", name="Diff").click()
    expect(page.locator(".rv-diff")).to_contain_text("_OFFSET.fullmatch")
    page.get_by_role("button", name="Diff").click()
    expect(page.locator(".rv-diff")).to_be_hidden()
    page.get_by_role("button", name="Trace").click()  # on a page without a kernel's widgets
    expect(page.locator(".rv-diff")).to_contain_text("%paseo trace 01K3VQ8R in a cell does")
    ops(page, ["h", {"can": {"trace": False}}])
    expect(page.get_by_role("button", name="Trace")).to_have_count(0)


# -------------------------------------------------------------------- ends


def test_an_ended_run_is_folded_to_its_answer(show: Open) -> None:
    page = show(tale.ended())
    expect(page.locator(".rv-rows")).to_have_text(tale.FINAL["text"].replace("`", ""))
    fold = page.get_by_role("button", name="2 turns, 8 tool calls, 2 failed, 1 permission")
    expect(page.locator(".box")).to_be_hidden()
    expect(page.locator(".rv-stop")).to_have_count(0)
    fold.click()
    expect(page.locator(".prompt").first).to_be_in_viewport()
    page.get_by_role("button", name="Transcript").click()
    expect(fold).to_be_visible()
    page.get_by_role("button", name="Follow up").click()
    expect(page.get_by_label("Follow-up message")).to_be_focused()
    page.keyboard.type("and the docs")
    expect(page.locator(".hint")).to_have_text("Starts turn 3")
    page.keyboard.press("Control+Enter")
    page.wait_for_timeout(50)
    assert [(one["text"], one["when"]) for one in sent(page, "send")] == [("and the docs", "queue")]


def test_a_run_that_ends_while_it_is_read_is_not_folded_away(show: Open) -> None:
    page = show(tale.running())
    ops(page, ["h", {"state": "idle", "shape": "done", "word": "Done", "turn_took_s": 60}])
    expect(page.locator(".rv-head")).to_contain_text("Done")
    expect(page.locator(".rv-rows .diff")).to_be_visible()
    assert page.locator(".md.live").count() == 0


@pytest.mark.parametrize(
    ("shape", "button", "verb"),
    [("failed", "Try again", "retry"), ("interrupted", "Resume", "resume")],
)
def test_what_went_wrong_stands_under_the_head_with_the_way_on(
    show: Open, shape: str, button: str, verb: str
) -> None:
    page = show(tale.ended(shape, diff=[0, 0, 0]))
    expect(page.locator(".rv-foot .what")).to_contain_text("no file changed")
    assert "0" not in (page.locator(".links").text_content() or "")
    expect(page.locator(".rv-band .note")).to_be_visible()
    page.get_by_role("button", name=button).click()
    page.wait_for_timeout(50)
    assert len(sent(page, verb)) == 1


def test_a_frozen_view_has_nothing_to_press(show: Open) -> None:
    page = show(tale.waiting())
    page.evaluate("() => kernel.say({k: 'frozen'})")
    expect(page.locator(".ask")).to_have_count(0)
    expect(page.locator(".rv-stop")).to_have_count(0)
    expect(page.locator(".box")).to_be_hidden()
    assert page.locator(".pick").count() == 0


# -------------------------------------------------------------------- the wire


def test_a_lost_delta_is_noticed_and_everything_got_again(show: Open) -> None:
    page = show(tale.running())
    ops(page, ["t", 11, " LOST"], lose=True)
    ops(page, ["t", 11, " and found"])
    expect(page.locator(".md").last).to_contain_text("LOST and found")
    ops(page, ["t", 11, " THE LAST"], lose=True)
    page.evaluate("() => kernel.at()")  # a beat: only so a lost last delta is noticed
    expect(page.locator(".md").last).to_contain_text("THE LAST")


def test_a_new_epoch_and_a_lost_part_are_got_again(show: Open) -> None:
    state = {"head": tale.HEAD, "rows": tale.long_run(1200), "asks": []}
    page = show(state)
    page.evaluate(
        "() => { kernel.epoch = 'e2'; kernel.n = 0; kernel.rows.push({k: 'text', text: 'after the restart'});"
        " const say = kernel.say; let part = 0; kernel.say = (m) => { if (m.k === 'full' && m.part === 1 && !part++) return; say.call(kernel, m) };"
        " kernel.ops([['h', {tokens: 1}]]) }"
    )
    expect(page.locator(".md").last).to_contain_text("after the restart", timeout=15_000)


def test_deltas_between_the_parts_are_not_lost(show: Open) -> None:
    page = show({"head": tale.HEAD, "rows": [{"k": "text", "text": "a"}], "asks": []})
    page.evaluate(
        """() => { const head = kernel.head, full = (part, rows) => kernel.say({k: 'full', epoch: 'e9', n: 5, part, parts: 2, rows, ...(part ? {} : {head, asks: []})});
          full(0, [{k: 'text', text: 'one'}]);
          kernel.say({k: 'delta', epoch: 'e9', n: 6, ops: [['t', 1, ' three']]});
          full(1, [{k: 'text', text: 'two'}]); }"""
    )
    expect(page.locator(".md").last).to_have_text("two three")


def test_hello_is_said_again_until_it_is_answered(chromium: Browser) -> None:
    page, seen = host_page(chromium)
    page.evaluate("() => { kernel.mute = true; begin({rows: [{k: 'text', text: 'here'}]}) }")
    expect(page.locator(".pn-run")).to_contain_text("Reading the run…")
    page.wait_for_function(
        "() => kernel.sent.filter(m => m.k === 'hello').length >= 3", timeout=20_000
    )
    page.evaluate("() => { kernel.mute = false }")
    expect(page.locator(".md")).to_have_text("here", timeout=30_000)
    assert seen == []
    page.context.close()


def test_a_pushed_state_needs_no_hello_to_be_answered(chromium: Browser) -> None:
    """In a cell that blocks, the kernel hears nothing; it sends everything unasked."""
    page, _ = host_page(chromium)
    page.evaluate(
        "() => { kernel.mute = true; begin({head: {title: 'T'}, rows: [{k: 'text', text: 'a'}]}); kernel.full(); kernel.ops([['t', 0, 'b']]) }"
    )
    expect(page.locator(".md")).to_have_text("ab")
    page.context.close()


def test_two_views_share_one_state_and_a_view_that_goes_leaves_nothing(show: Open) -> None:
    page = show(tale.running())
    page.evaluate("() => show('#other')")
    expect(page.locator(".pn-run")).to_have_count(2)
    ops(page, ["r", 12, {"k": "text", "text": "in both"}])
    ops(page, ["t", 12, ", once"])
    expect(page.get_by_text("in both, once", exact=True)).to_have_count(2)
    page.evaluate("() => closing.forEach(close => close())")
    expect(page.locator(".pn-run")).to_have_count(0)
    ops(page, ["t", 12, " no more"])


def test_a_kernel_that_falls_silent_is_told_and_the_static_output_comes_back(show: Open) -> None:
    page = show(tale.running())
    page.evaluate(
        "() => { const d = document.createElement('div'); d.className = 'jp-OutputArea-child'; const e = document.createElement('div');"
        " e.dataset.paseoBeside = 'x'; e.textContent = 'static'; d.append(e); document.querySelector('.jp-OutputArea').append(d); kernel.mute = true }"
    )
    expect(page.get_by_text("static")).to_be_hidden()
    expect(page.locator(".rv-band")).to_contain_text("The kernel does not answer.", timeout=30_000)
    expect(page.locator(".rv-band")).to_contain_text("%paseo attach 01K3VQ8R")
    expect(page.get_by_text("static", exact=True)).to_be_visible()
    page.evaluate("() => { kernel.mute = false; kernel.at() }")
    expect(page.locator(".rv-band .note")).to_have_count(0)
    expect(page.get_by_text("static", exact=True)).to_be_hidden()


def test_a_busy_kernel_is_told_when_a_click_has_to_wait(show: Open) -> None:
    page = show(tale.running())
    page.evaluate("() => { kernel.answers.default = null }")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".rv-say")).to_contain_text(
        "The kernel is busy with a cell", timeout=15_000
    )


# -------------------------------------------------------------------- for everyone


def test_narrow_columns_and_keyboards(show: Open) -> None:
    page = show(tale.waiting(), width=390)
    assert page.evaluate("() => document.documentElement.scrollWidth <= 390")
    for name in ("Allow once", "Deny…", "Stop", "Send"):
        box = page.get_by_role("button", name=name).bounding_box()
        assert box
        assert box["height"] >= 40
    two = [{"id": "ask", "name": "Ask before edits and commands"}, {"id": "plan", "name": "Plan"}]
    modes = {
        "agent_mode": "ask",
        "agent_modes": two,
        "effort": "medium",
        "efforts": ["low", "medium"],
    }
    page = show(tale.running(**modes), width=840)
    overlong = (
        "() => { const l = document.querySelector('.rv-l2'); return l.scrollWidth - l.clientWidth }"
    )
    assert page.evaluate(overlong) <= 0
    page = show(tale.waiting())
    reached: list[str] = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "() => document.activeElement.className + ' ' + (document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.slice(0, 20))"
            )
        )
    for wanted in (
        "Stop",
        "Model",
        "Transcript",
        "Input, editable",
        "Allow once",
        "Follow-up message",
        "Diff",
    ):
        assert any(wanted in one for one in reached), (wanted, reached)


def test_everything_that_can_be_pressed_has_a_name(show: Open) -> None:
    for state in (tale.running(), tale.waiting(), tale.ended(), tale.ended("failed")):
        page = show(state)
        nameless = page.evaluate(
            "() => [...document.querySelectorAll('button, select, textarea, input, a, [role=meter], [role=region]')].filter(e => e.checkVisibility() && !(e.getAttribute('aria-label') || e.textContent.trim() || e.getAttribute('aria-labelledby'))).map(e => e.outerHTML)"
        )
        assert nameless == []


def test_reduced_motion_stops_all_motion(show: Open) -> None:
    page = show(tale.running(), reduced_motion="reduce")
    assert page.evaluate("() => document.getAnimations().length") == 0


@pytest.mark.parametrize("dark", [False, True])
def test_text_has_contrast_in_both_themes(show: Open, dark: bool) -> None:
    page = show(tale.waiting(), dark=dark)
    poor = page.evaluate(CONTRAST)
    assert poor == []


CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgb = (colours) => { canvas.clearRect(0, 0, 1, 1); for (const c of colours) { canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1) } return [...canvas.getImageData(0, 0, 1, 1).data] };
  const light = ([r, g, b]) => [r, g, b].map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [.2126, .7152, .0722][i], 0);
  const poor = [];
  for (const e of document.querySelectorAll('.pn-run *')) {
    if (![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility({opacityProperty: true}) || e.closest('[disabled], option, .sr')) continue;
    const grounds = []; for (let n = e; n; n = n.parentElement) grounds.unshift(getComputedStyle(n).backgroundColor);
    const ground = rgb(grounds), ink = rgb([...grounds, getComputedStyle(e).color]);
    const [a, b] = [light(ground), light(ink)].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
    if (ratio < 4.5) poor.push([e.className, e.textContent.slice(0, 30), ratio.toFixed(2)]);
  }
  return poor;
}"""
