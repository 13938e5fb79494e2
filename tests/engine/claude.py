"""What Claude Code's workflows do, one row per behaviour, and what ours do: played, and told.

python -m tests.engine.claude > docs/claude-workflows.md

A row's function runs scripts (its docstring is the row: topic, theirs, and ours where it is
another, by lines); test_claude.py plays them all.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import paseo_nb as paseo
from engine.conftest import echo
from engine.scripts import META, Check, Lab, put
from paseo_nb.engine.javascript.bodies import script
from paseo_nb.engine.values import Outcome
from paseo_nb.errors import NotTrusted, UsageProblem, WorkflowError, WorkflowFatal
from paseo_nb.model import Usage


class Row(NamedTuple):
    """A behaviour. ours: how it differs on purpose; empty where it is the same."""

    topic: str
    theirs: str
    ours: str
    check: Check


ROWS: list[Row] = []


def row(check: Check) -> Check:
    """Take a function as a row."""
    told = inspect.cleandoc(check.__doc__ or "").split("\n\n")
    topic, theirs, ours = (" ".join(part.split()) for part in (*told, "")[:3])
    ROWS.append(Row(topic, theirs, ours, check))
    return check


# ---------------------------------------------------------------- the script


@row
def meta_is_a_literal(lab: Lab) -> None:
    """`meta`

    the first statement, a pure literal: no names, calls, spreads, templates; `name` and
    `description` are needed; `phases`, `whenToUse`"""
    for text, why in (
        ("agent('x')", "begins with `export const meta"),
        ("export const meta = { name: 'a' }", "description"),
        ("export const meta = { name: n, description: 'b' }", r"lab.js:1: .*'n'"),
        ("export const meta = {\n name: `a`, description: 'b' }", "lab.js:2: .*template"),
        ("export const meta = { ...x }", "spread"),
        ("export const meta = { name: f(), description: 'b' }", "'f'"),
    ):
        with pytest.raises(UsageProblem, match=why):
            script(text, "lab")
    whole = """// A comment.
    export const meta = {
      "name": 'lab', description: "it\\u0027s", /* here */ whenToUse: "now",
      phases: [{ title: 'one', detail: 'd', model: 'opus' }, { title: 'two' },],
    }
    return [meta.name, meta.description, meta.phases.length]"""
    assert script(whole, "lab").at(lambda: lab.place)() == ["lab", "it's", 2]


@row
def body_is_plain(lab: Lab) -> None:
    """body

    plain JavaScript, `await` and `return` at its top; no TypeScript, `import`, `require`, files,
    shell, net"""
    assert lab.value("const x = await agent('a'); return x + '!'") == "did a!"
    for text in ("const x: number = 1", "import fs from 'fs'"):
        with pytest.raises(UsageProblem, match="lab.js:2: SyntaxError"):
            lab.value(text)
    names = ["require", "process", "fetch", "XMLHttpRequest", "Deno", "module", "global"]
    told = lab.value(f"return [{', '.join(f'typeof {name}' for name in names)}]")
    assert set(told) == {"undefined"}
    with pytest.raises(WorkflowError, match="Not supported"):
        lab.value("await import('fs')")


@row
def syntax_is_checked_before(lab: Lab) -> None:
    """a script that is none

    bad meta or syntax is an error at once; it never runs"""
    with pytest.raises(UsageProblem, match=r"lab.js:3: SyntaxError: Unexpected token '='"):
        lab.value("await agent('x')\nlet b = = 2\n")
    assert lab.asked == []


@row
def nothing_that_differs_each_time(lab: Lab) -> None:
    """determinism

    `Date.now()`, `Math.random()`, `new Date()` throw; `new Date(x)` works

    the same; `Date()`, timers, `WebAssembly`, `SharedArrayBuffer`, `Atomics`, `WeakRef`,
    `FinalizationRegistry`, `Temporal` and `Intl` are not there either"""
    told = lab.value("""const ways = [() => Date.now(), Math.random, () => new Date(), () => Date(),
      () => Reflect.construct(Date, []), () => new (new Date(0).constructor)(),
      () => new (class extends Date {})()]
    return ways.map((way) => { try { return way() } catch (error) { return error.message } })""")
    assert len(told) == 7
    assert all("another one each time" in one for one in told)
    told = lab.value(
        "const d = new Date('2026-11-22T00:00:00Z');"
        " return [d.getTime(), d instanceof Date, d.toISOString(), Date.UTC(2020, 0), Date.name]"
    )
    assert told == [1795305600000, True, "2026-11-22T00:00:00.000Z", 1577836800000, "Date"]
    gone = "setTimeout clearTimeout WebAssembly SharedArrayBuffer Atomics WeakRef Temporal Intl"
    told = lab.value(f"return [{', '.join(f'typeof {name}' for name in gone.split())}]")
    assert set(told) == {"undefined"}


@row
def arguments_and_result(lab: Lab) -> None:
    """`args`, and what is returned

    `args` is the value that was given, `undefined` without one; what the body returns is the result"""
    given = {"topic": "tides", "deep": [1, 2.5, None, {"a": True}]}
    assert lab.value("return args", args=given) == given
    assert lab.value("return typeof args") == "undefined"
    assert lab.value("return 'x'.repeat(3e6)") == "x" * 3_000_000
    assert lab.value("") is None
    with pytest.raises(WorkflowError, match="no form in JSON"):
        lab.value("const a = {}; a.a = a; return a")


@row
def errors_have_lines(lab: Lab) -> None:
    """a script that raises

    the run fails with its error

    the same, with the lines of the script"""
    with pytest.raises(WorkflowError, match=r"(?s)^lab.js:3:\d+: TypeError: .*from lab.js:5"):
        lab.value("function f(x) {\n  return x.y.z\n}\nf({})")


# ---------------------------------------------------------------- agents


@row
def agent_gives_text_or_a_value(lab: Lab) -> None:
    """`agent(prompt, opts)`

    the final text, or with `schema` the validated object; `label`, `phase`, `schema`, `model`,
    `effort`, `agentType`, `isolation: 'worktree'`

    the same, and `agent`, `mode`, `agentMode`, `budget`, `tokenBudget`, `timeout`, `retries`, `key`,
    `reads`, `effects`, `refresh` as in Python. Other options are refused"""

    def answers(wanted) -> Outcome:
        return Outcome(text="a text", value={"n": 1} if wanted.call.schema else None)

    body = """phase("look")
    const schema = { type: "object", properties: { n: { type: "integer" } } }
    return [
      await agent("a", { label: "l", effort: "high", model: "opus" }),
      await agent("b", { schema, phase: "own", isolation: "worktree", retries: 2, key: 3 }),
    ]"""
    assert lab.value(body, answers) == ["a text", {"n": 1}]
    first, second = (wanted.call for wanted in lab.place.started)
    assert (first.label, first.phase, first.effort) == ("l", "look", "high")
    assert (second.phase, second.isolation, second.retries, second.key) == ("own", "worktree", 2, 3)
    with pytest.raises(WorkflowFatal, match="`shema`"):
        lab.value("await agent('x', { shema: {} })")


@row
def models(lab: Lab) -> None:
    """`model`

    `opus`, `sonnet`, `haiku`, a full name, `inherit`

    the same are `claude/…`; `provider/model` and `@profile` name any agent; without one it is the
    configured agent, else `claude`"""
    lab.value(
        "for (const model of ['haiku', 'codex/gpt', '@fast', 'inherit']) await agent('x', { model })"
    )
    told = [wanted.call.agent for wanted in lab.place.started]
    assert told == ["claude/haiku", "codex/gpt", "@fast", None]


@row
def kinds_of_agents(lab: Lab) -> None:
    """`agentType`

    a built-in kind, or one of `.claude/agents/`

    the same (its text goes before the prompt, so a changed file is another step); a profile of the
    name comes first"""
    put(lab.home.parent / ".claude" / "agents", "critic.md",
        "---\nname: critic\nmodel: haiku\n---\nYou find what is wrong.\n")  # fmt: skip
    lab.value(
        "await agent('x', { agentType: 'critic' }); await agent('y', { agentType: 'Explore' })"
    )
    first, second = (wanted.call for wanted in lab.place.started)
    assert (first.prompt, first.agent) == ("You find what is wrong.\n\nx", "claude/haiku")
    assert (second.prompt, second.mode) == ("y", "read")
    with pytest.raises(WorkflowFatal, match="no profile of this name"):
        lab.value("await agent('x', { agentType: 'nobody' })")


@row
def what_agents_may(lab: Lab) -> None:
    """permissions

    agents act with the session's

    an agent reads only, unless it has a worktree of its own or says `mode`; two that write to the
    same files at once are refused"""
    lab.value("await agent('x'); await agent('y', { isolation: 'worktree' })")
    assert [wanted.call.mode for wanted in lab.place.started] == ["read", "edit"]
    with pytest.raises(WorkflowFatal, match="same files at once"):
        lab.value("await parallel(['a', 'b'].map((p) => () => agent(p, { mode: 'edit' })))")


@row
def schemas(lab: Lab) -> None:
    """`schema`

    its root is an object; an impossible one is rejected before the agent starts; the answer is
    validated, with retries; then `agent()` throws

    then it is `null`, as any failed agent"""

    def answers(wanted) -> Outcome:
        return Outcome(cause="schema", message="no such object")

    assert lab.value("return [await agent('x', { schema: { type: 'object' } })]", answers) == [None]
    for schema in ("{ type: 'array' }", "{ type: 'object', properties: 5 }", "'/etc/passwd'"):
        with pytest.raises(WorkflowFatal, match="schema|object"):
            lab.value(f"await agent('x', {{ schema: {schema} }})")
        assert lab.asked == []


@row
def a_failed_agent_is_null(lab: Lab) -> None:
    """a failed agent

    `null` when it was stopped or its API gave up

    the same; `run.steps()` says why"""

    def answers(wanted) -> Outcome:
        return Outcome(cause=wanted.call.prompt, message="it broke")

    assert (
        lab.value("return [await agent('error'), await agent('cancelled')]", answers) == [None] * 2
    )
    assert list(lab.run.steps()["message"]) == ["it broke"] * 2


@row
def what_no_agent_could_get_over(lab: Lab) -> None:
    """what no further agent could get over: no sign-in, no balance

    `null`, each time

    ends the run once, with what was at work finished and kept; the script cannot catch it"""

    def answers(wanted) -> Outcome:
        bad = wanted.call.prompt == "p1"
        return Outcome(cause="auth", message="sign in") if bad else Outcome(text="fine")

    body = """try { await parallel([1, 2, 3].map((n) => () => agent("p" + n))) } catch {}
    for (;;) await agent("more")"""
    with pytest.raises(WorkflowFatal, match="sign in"):
        lab.value(body, answers)
    assert "more" not in lab.asked


@row
def wrong_arguments(lab: Lab) -> None:
    """wrong arguments

    throw; inside `parallel` that is a silent `null`

    end the run, and say what is wrong"""
    for call in (
        "agent()",
        "agent(5)",
        "agent(' ')",
        "agent('x', 5)",
        "workflow(7)",
        "workflow('nobody')",
    ):
        with pytest.raises(WorkflowFatal) as raised:
            lab.value(f"return await parallel([() => {call}])")
        assert raised.value.cause == "usage"


# ---------------------------------------------------------------- many agents


@row
def parallel_is_a_barrier(lab: Lab) -> None:
    """`parallel(thunks)`

    a barrier; never rejects; a thunk that throws is `null`

    the same; what was thrown is told as a log line"""
    body = """const got = await parallel([() => agent("a"), () => { throw new Error("no") }, agent("c"),
      async () => 5])
    await agent("after")
    return got"""
    assert lab.value(body) == ["did a", None, "did c", 5]
    assert lab.asked[-1] == "after"
    assert "an item failed: Error: no" in lab.log


@row
def pipeline_is_none(lab: Lab) -> None:
    """`pipeline(items, ...stages)`

    no barrier; a stage takes `(prev, item, index)`; one that throws makes the item `null` and skips
    its further stages; results in the order of the items"""
    order: list[str] = []

    async def answers(wanted) -> str:
        import asyncio

        await asyncio.sleep(0.5 if "slow" in wanted.call.prompt else 0)
        order.append(wanted.call.prompt)
        return wanted.call.prompt

    body = """return await pipeline(["slow", "bad", "quick"],
      (x) => agent(x + "1"),
      (prev, item, index) => { if (item === "bad") throw 1; return agent(`${prev}.${item}.${index}`) },
      (prev) => prev + "!")"""
    assert lab.value(body, answers) == ["slow1.slow.0!", None, "quick1.quick.2!"]
    assert order.index("quick1.quick.2") < order.index("slow1")


@row
def long_lists(lab: Lab) -> None:
    """lists of more than 4,096 items

    an error, never a cut

    ends the run"""
    assert lab.value("return (await parallel(Array(4096).fill(() => 1))).length") == 4096
    for call in ("parallel(Array(4097).fill(() => 1))", "pipeline(Array(4097).fill(1), (x) => x)"):
        with pytest.raises(WorkflowFatal, match="4097 items") as raised:
            lab.value(f"try {{ await {call} }} catch {{}} return 'on'")
        assert raised.value.cause == "cap"


@row
def how_many_at_once(lab: Lab) -> None:
    """agents at once

    min(16, cores − 2), at least 1; the others wait

    max(4, cores); `options(concurrency=…)`"""
    at_once, most = 0, 0

    async def answers(wanted) -> str:
        import asyncio

        nonlocal at_once, most
        at_once, most = at_once + 1, max(most, at_once + 1)
        await asyncio.sleep(0.02)
        at_once -= 1
        return "x"

    lab.value(
        "await parallel(Array(9).fill(0).map((_, n) => () => agent('p' + n)))",
        answers,
        concurrency=3,
    )
    assert most == 3


@row
def how_many_in_all(lab: Lab) -> None:
    """agents in all

    1,000; the next one throws; a warning above 25

    1,000 (`options(max_steps=…)`); the next one ends the run. No warning"""
    body = "return (await parallel(Array(args).fill(0).map((_, n) => () => agent('p' + n)))).length"
    assert lab.value(body, args=5, max_steps=5) == 5
    with pytest.raises(WorkflowFatal, match="more than 5 steps") as raised:
        lab.value(body, args=6, max_steps=5)
    assert raised.value.cause == "cap"


@row
def budget(lab: Lab) -> None:
    """`budget`

    `total` (`null` without one), `spent()`, `remaining()` (`Infinity` without one), in output
    tokens of the turn; once it is spent `agent()` throws

    tokens in and out of this workflow run (`options(token_budget=…)`), taken steps free; once it is
    spent the run ends, and goes on with a larger total. `budget.usd` has the same in US dollars"""

    def answers(wanted) -> Outcome:
        return Outcome(text="x", usage=Usage(input_tokens=60, output_tokens=40, cost_usd=0.5))

    body = """const seen = [budget.total, budget.remaining(), budget.usd.remaining()]
    await agent("a")
    seen.push(budget.spent(), budget.remaining(), budget.usd.spent())
    for (let n = 0; n < args; n += 1) await agent("p" + n)
    return seen"""
    assert lab.value(body, answers, args=0, token_budget=250) == [250, 250, None, 100, 150, 0.5]
    assert lab.value("return [budget.total, budget.remaining() === Infinity]") == [None, True]
    with pytest.raises(WorkflowFatal, match="token budget") as raised:
        lab.value(body, answers, args=3, token_budget=250, cache="run")
    assert raised.value.cause == "budget"
    assert lab.asked == ["a", "p0", "p1"]


@row
def phases_and_logs(lab: Lab) -> None:
    """`phase(title)`, `log(text)`

    group agents, tell whoever watches

    the same, and kept in the run's journal; `console.log` is `log`"""
    lab.value(
        "phase('one'); await agent('a'); log('so', 1); phase('two'); console.log('far'); await agent('b')"
    )
    assert list(lab.run.steps()["phase"]) == ["one", "two"]
    assert lab.log == ["so 1", "far"]


# ---------------------------------------------------------------- runs


@row
def started_at_once(lab: Lab) -> None:
    """what a call gives

    an id at once; the result comes as a notification

    `workflow_of(name).start(args)` gives the run at once, with `wait()`, `steps()`, `stop()`; a call
    waits, and returns what the script returns"""

    async def answers(wanted) -> str:
        import asyncio

        while not go.exists():
            await asyncio.sleep(0.01)
        return "x"

    go = lab.home.parent / "go"
    run = lab.workflow("return await agent('a')", answers).start()
    assert run.state == "running"
    go.touch()
    assert run.wait() == "x"


@row
def files_of_a_run(lab: Lab) -> None:
    """what is kept

    the script as it ran, `journal.jsonl`, the agents' records

    the same, in `workflow_runs/<id>/`; each agent is a run like any other"""
    lab.value("return await agent('a')")
    folder = lab.run.folder.path
    assert (folder / "script.js").read_text() == META + "return await agent('a')"
    kinds = [
        json.loads(line)["kind"] for line in (folder / "journal.jsonl").read_text().splitlines()
    ]
    assert [kinds[0], kinds[-1]] == ["workflow_started", "workflow_done"]
    assert "step_done" in kinds


@row
def going_on(lab: Lab) -> None:
    """resuming

    `resumeFromRunId`: replayed in the order of starts; the first call that changed, failed or is
    unfinished and all after it run again

    the same call goes on; steps are found again by their content, so only what changed or failed
    runs, whatever the order was"""
    bad = {"p4"}

    def answers(wanted) -> Outcome | str:
        failed = wanted.call.prompt in bad
        return Outcome(cause="error", message="no") if failed else wanted.call.prompt

    body = """const got = await parallel(Array(40).fill(0).map((_, n) => () => agent("p" + n)))
    if (got.includes(null)) throw new Error("one failed")
    return got.length"""
    with pytest.raises(WorkflowError, match="one failed"):
        lab.value(body, answers)
    first = lab.run.id
    bad.clear()
    assert lab.value(body, answers) == 40
    assert (lab.asked, lab.run.id, lab.run.hits) == (["p4"], first, 39)
    other = body.replace("p4", "p4").replace("return got.length", "return await agent('last')")
    assert lab.value(other, answers) == "last"
    assert lab.asked == ["last"], "an edited script takes what it still asks for"


@row
def while_it_runs(lab: Lab) -> None:
    """the same call while it is at work

    refused while the old agents run

    follows the run that is at work, to the same result; each agent runs once"""

    async def answers(wanted) -> str:
        import asyncio

        while not go.exists():
            await asyncio.sleep(0.01)
        return "x"

    go = lab.home.parent / "go"
    made = lab.workflow("return await agent('a')", answers)
    first, second = made.start(), made.start()
    assert first.id == second.id
    go.touch()
    assert [first.wait(), second.wait()] == ["x", "x"]
    assert lab.asked == ["a"]


@row
def stopping(lab: Lab) -> None:
    """stopping

    stopping the run does not mark agents as failed; stopping one agent makes it `null`

    the same; the run goes on later, with what was finished"""

    async def answers(wanted) -> str:
        import asyncio

        await asyncio.sleep(0 if wanted.call.prompt == "short" else 60)
        return "x"

    body = "return [await agent('short'), await agent('long')]"
    run = lab.workflow(body, answers).start()
    deadline = time.monotonic() + 30
    while "long" not in lab.asked:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.stop()
    with pytest.raises(WorkflowError, match="was stopped"):
        run.wait()
    assert list(run.steps()["state"]) == ["done", "cancelled"]
    assert lab.value(body) == ["x", "did long"]
    assert lab.asked == ["long"]


@row
def one_within_another(lab: Lab) -> None:
    """`workflow(name or {scriptPath}, args)`

    another workflow in this one: one level; shares agents at once, their number, budget and stop

    to 8 levels; Python's and JavaScript's call each other"""
    folder = lab.home.parent / "paseo_workflows"
    files = [
        put(folder, "inner.js", META + "phase('in'); return { got: await agent('inner ' + args.x) }"),
        put(folder, "middle.py", "import paseo_nb as paseo\n\n@paseo.workflow\n"
            "async def middle(x):\n    return await paseo.run_workflow('inner', {'x': x})\n"),
    ]  # fmt: skip
    for path in files:
        paseo.trust(str(path))
    body = """return [await workflow("middle", { x: 1 }),
      await workflow({ scriptPath: "paseo_workflows/inner.js" }, { x: 2 })]"""
    assert lab.value(body) == [{"got": "did inner 1"}, {"got": "did inner 2"}]
    assert list(lab.run.steps()["part"]) == ["middle/inner", "inner"]
    with pytest.raises(WorkflowFatal, match="more than 1 steps"):
        lab.value(body, max_steps=1, cache="run")
    deep = put(folder, "deep.js", META + "return await workflow('deep')")
    paseo.trust(str(deep))
    with pytest.raises(WorkflowFatal, match="too deep"):
        lab.value("return await workflow('deep')")


@row
def where_they_lie(lab: Lab) -> None:
    """files

    `.claude/workflows/`, project before user, the nearest wins; a file is called by its name

    `paseo_workflows/` comes before `.claude/workflows/` in each folder; `.py` and `.js`. A project's
    file runs once it is trusted as it is (`paseo.trust(path)`)"""
    top = lab.home.parent
    near = top / "near"
    near.mkdir()
    put(top / ".claude" / "workflows", "greet.js", META + "return 'far'")
    put(top / "config" / "paseo_nb" / "workflows", "greet.js", META + "return 'user'")
    put(top / "config" / "paseo_nb" / "workflows", "own.js", META + "return 'own'")
    os.chdir(near)
    known = paseo.workflows().set_index("name")
    assert known["description"].to_dict()["greet"] == "A test"
    with pytest.raises(NotTrusted, match="trust"):
        paseo.workflow_of("greet")
    paseo.trust(str(top / ".claude" / "workflows" / "greet.js"))
    assert paseo.workflow_of("greet").at(lambda: lab.place)() == "far"
    paseo.trust(str(put(near / ".claude" / "workflows", "greet.js", META + "return 'near'")))
    assert paseo.workflow_of("greet").at(lambda: lab.place)() == "near"
    put(near / ".claude" / "workflows", "greet.js", META + "return 'changed'")
    with pytest.raises(NotTrusted):
        paseo.workflow_of("greet")
    assert paseo.workflow_of("own").at(lambda: lab.place)() == "own"


@row
def prompts_go_as_they_are(lab: Lab) -> None:
    """what an agent is told besides

    that nobody answers, and that its last message is data

    nothing: a prompt goes as it is written"""
    lab.value("await agent('  exactly\\nthis  ')")
    assert lab.asked == ["  exactly\nthis  "]


@row
def the_first_of_many(lab: Lab) -> None:
    """agents with the same beginning

    are held until the first one's answer begins, for the prompt cache

    start as they come"""
    order = lab.value("return await parallel([1, 2].map((n) => () => agent('same ' + n)))", echo)
    assert order == ["did same 1", "did same 2"]


PAGE = """# Scripts of Claude Code

Made by `python -m tests.engine.claude > docs/claude-workflows.md`; a test plays every row.

`.js` files in Claude Code's workflow format run on any agent, by the same engine as Python's
workflows ([workflows](workflows.md)): the same steps, cache, limits and views. They need
`pip install 'paseo_nb[js]'`.

```javascript
export const meta = { name: "review", description: "Reviews files, then writes one report" }
phase("look")
const found = await parallel(args.files.map((name) => () => agent(`Review ${name}`, { label: name })))
phase("report")
return await agent("Write one report of:\\n" + found.filter(Boolean).join("\\n\\n"), { model: "opus" })
```
```python
paseo.workflow_of("review")({"files": ["a.py", "b.py"]})
```
A script runs in V8 in a process of its own, which is started with an empty environment and has no
files, net, processes or modules: what it asks for leaves it as text. It gets 256 MB of memory, 30 s
from one wish to the next and 300 s of computing in all; past them, or when it waits for what never
comes, the run ends with an error, and the process with it. It dies with the process that leads it.
(On Linux; elsewhere the system keeps the memory outside of V8's own less strictly.)

The right column says where ours differs on purpose.

| behaviour | in Claude Code | here |
| --- | --- | --- |
"""


def page() -> str:
    """The text of docs/claude-workflows.md."""
    told = ""
    for one in ROWS:
        ours = one.ours or "the same"
        told += f"| {one.topic} | {one.theirs} | {ours} |\n"
    return PAGE + told


if __name__ == "__main__":
    print(page(), end="")
