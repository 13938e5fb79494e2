"""Scripts that mean harm: each ends with a clear error, leaves no process, and costs the process
that leads it nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from engine.conftest import echo
from engine.scripts import META, QUICK, Lab, children
from paseo_nb.engine.javascript.bodies import script
from paseo_nb.engine.simulated import SimulatedPlace
from paseo_nb.errors import UsageProblem, WorkflowError, WorkflowFatal

pytestmark = pytest.mark.crash
SHORT = msgspec.structs.replace(QUICK, slice_s=1.5)


@pytest.fixture
def lab(home: Path) -> Lab:
    return Lab(home)


def healthy(lab: Lab) -> None:
    """Nothing is left of it, and the next script is as good as ever."""
    assert children() == set()
    assert lab.value("return await agent('well')") == "did well"


@pytest.mark.parametrize(
    "body",
    [
        "for (;;) {}",
        "for (;;) await null",
        "for (;;) agent('x')",
        "return /^(a+)+$/.test('a'.repeat(40) + 'b')",
        "return { toJSON() { for (;;) {} } }",
        "await agent({ toJSON() { for (;;) {} } })",
        "await agent('x'); for (;;) {}",
    ],
)
def test_loops_are_ended(lab: Lab, body: str) -> None:
    made = script(META + body, "lab", SHORT).at(lambda: SimulatedPlace(echo))
    with pytest.raises(WorkflowError, match="did not come to its next wish within 1.5 s"):
        made()
    healthy(lab)


def test_computing_is_counted_over_all_slices(lab: Lab) -> None:
    limits = msgspec.structs.replace(QUICK, cpu_s=2)
    body = """for (let n = 0; n < 900; n += 1) {
      let sum = 0
      for (let i = 0; i < 3e5; i += 1) sum += i
      await agent("p" + n)
    }"""
    made = script(META + body, "lab", limits).at(lambda: SimulatedPlace(echo))
    with pytest.raises(WorkflowError, match="used up its 2 s of computing"):
        made.options(durable=False)()
    healthy(lab)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("new Array(3e8).fill({}); return 1", "64 MB of memory"),
        ("const a = []; for (;;) a.push({ a })", "64 MB of memory"),
        ("let s = 'x'; for (;;) s += s", "Invalid string length"),
        ("return new Uint8Array(4e9).length", "Array buffer allocation failed"),
        ("const a = []; for (;;) a.push(new Uint8Array(1e7).fill(1))", "allocation failed"),
        (
            "const a = []; try { for (;;) a.push(new Uint8Array(1e7).fill(1)) } catch {}\n"
            "for (;;) a.push([a.length])",
            "memory|within 15 s|process ended",
        ),
        ("const f = () => f(); f()", "call stack size"),
        ("await agent('x'.repeat(4e7))", "more than 33554432 characters"),
        ("return 'x'.repeat(4e8)", "memory|process ended|spoken with|string length"),
    ],
)
def test_memory_is_bounded(lab: Lab, body: str, why: str) -> None:
    with pytest.raises(WorkflowError, match=why):
        lab.value(body)
    healthy(lab)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (
            "for (let n = 0; n < 1e6; n += 1) agent('p' + n)\nawait agent('x')",
            "more than 1000 steps",
        ),
        ("for (let n = 0; n < 1e6; n += 1) log('p' + n)\nawait agent('x')", "more than 100 lines"),
        ("await parallel(Array(1e6).fill(() => agent('x')))", "1000000 items"),
    ],
)
def test_a_million_calls_are_one_error(lab: Lab, body: str, why: str) -> None:
    with pytest.raises(WorkflowFatal, match=why) as raised:
        lab.value(body, durable=False)
    assert raised.value.cause == "cap"
    assert len(lab.asked) <= 1000
    healthy(lab)


@pytest.mark.parametrize(
    "body",
    [
        "await new Promise(() => {})",
        "await { then() {} }",
        "await agent('x'); await new Promise(() => {})",
        "await Promise.race([])",
        "let go; const p = new Promise((r) => { go = async () => { await p; r() } }); await go()",
    ],
)
def test_what_never_comes_is_not_waited_for(lab: Lab, body: str) -> None:
    with pytest.raises(WorkflowError, match="a promise that nothing will ever resolve"):
        lab.value(body)
    healthy(lab)


WAYS_OUT = """
const found = []
const look = (what, value) => { if (value !== undefined && value !== null) found.push(what) }
const tried = async (what, get) => { try { look(what, await get()) } catch {} }
for (const name of ["process", "require", "module", "fetch", "Deno", "Bun", "os", "std", "load",
                    "read", "print", "quit", "d8", "java", "XMLHttpRequest", "Worker", "postMessage",
                    "ShadowRealm", "WebAssembly", "SharedArrayBuffer", "Atomics", "setTimeout"])
  await tried(name, () => globalThis[name] ?? Function("return typeof " + name + " === 'undefined' ? null : 1")())
for (const maker of [agent, parallel, log, console.log, Date, Math.random, budget.spent, (async () => {})])
  await tried("maker " + maker.name, () =>
    maker.constructor("return typeof process === 'undefined' ? null : process")())
for (const maker of [(function* () {}), (async function* () {})])
  await tried("maker of generators", async () =>
    (await maker.constructor("yield typeof process === 'undefined' ? null : process")().next()).value)
await tried("import", () => import("fs"))
await tried("import of data", () => import("data:text/javascript,export default 1"))
await tried("caller", () => (function f() { return f.caller })())
await tried("frames", () => {
  Error.prepareStackTrace = (_, frames) => frames
  const seen = new Error().stack.flatMap((one) => [one.getThis(), one.getFunction()])
  Error.prepareStackTrace = undefined
  return seen.find((one) => typeof one === "function" || (one && one !== globalThis))
})
await tried("frames of ours", () => {
  let seen = null
  Error.prepareStackTrace = (_, frames) => { seen = frames.map((one) => one.getFunction()).find(Boolean); return "" }
  try { new Date() } catch (error) { error.stack }
  Error.prepareStackTrace = undefined
  return seen
})
await tried("natives", () => eval("%GetOptimizationStatus(agent)"))
return found
"""


def test_there_is_no_way_out(lab: Lab) -> None:
    assert lab.value(WAYS_OUT) == []
    healthy(lab)


GAMES = """
const got = []
for (const kind of [Object, Array, Promise, Function, String, Map])
  for (const name of Object.getOwnPropertyNames(kind.prototype))
    if (name !== "constructor" && !(args === "gently" && ["then", "toString", "call", "apply"].includes(name)))
      try { kind.prototype[name] = () => { throw new Error("played") } } catch {}
for (const name of ["parse", "stringify"]) JSON[name] = () => "played"
for (const name of ["construct", "defineProperty", "apply"]) Reflect[name] = () => { throw 1 }
Object.prototype.toJSON = function () { return "played" }
Object.defineProperty(Array.prototype, 0, { set() { throw new Error("played") }, configurable: true })
delete Object.prototype.toJSON; delete Array.prototype[0]
globalThis.Promise = globalThis.JSON = globalThis.Array = globalThis.String = null
"""


def test_prototype_games_change_nothing_of_ours(lab: Lab) -> None:
    body = GAMES + "return await parallel([() => agent('a'), () => agent('b')])"
    assert lab.value(body) == ["did a", "did b"]
    assert lab.asked == ["a", "b"]
    for name in ("agent", "args", "budget"):
        with pytest.raises(WorkflowError, match="read only|Cannot redefine|only a getter"):
            lab.value(f"Object.defineProperty(globalThis, '{name}', {{ value: 1 }}); {name} = 5")
    with pytest.raises(WorkflowError, match="only a getter"):
        lab.value("budget.total = Infinity")
    healthy(lab)


@pytest.mark.parametrize(
    "body",
    [
        "Promise.prototype.constructor = null; Promise.prototype.then = null; return agent('x')",
        "Object.prototype.then = function (done) { done(7) }; return await agent('x')",
        "throw { get stack() { throw 1 }, toString() { throw 2 } }",
        "throw new Proxy({}, { get() { throw 1 } })",
        "return new Proxy({}, { get() { throw new Error('a trap') }, ownKeys() { throw new Error('a trap') } })",
        "Error.prepareStackTrace = () => { throw 1 }; null.x",
        "Array.prototype.push = null",
        "return '\\ud800'",
        "await agent('\\ud800')",
    ],
)
def test_a_script_that_bends_the_language_harms_itself_only(lab: Lab, body: str) -> None:
    try:
        lab.value(body)
    except WorkflowError as error:
        assert str(error)
    healthy(lab)


@pytest.mark.parametrize(
    "text", ["}); for (;;) {} (async function () {", "}", "/*", "`", "\0", "<!--"]
)
def test_a_body_cannot_leave_its_function(lab: Lab, text: str) -> None:
    with pytest.raises(UsageProblem, match="lab.js"):
        lab.value(text + "\nreturn await agent('x'))")
    assert lab.asked == []
    healthy(lab)


def test_the_process_has_nothing_to_use(lab: Lab) -> None:
    seen: list[str] = []

    async def answers(wanted) -> str:
        (pid,) = children()
        folder = Path(f"/proc/{pid}")
        seen.append((folder / "environ").read_text())
        seen.append(os.readlink(folder / "cwd"))
        seen.append((folder / "limits").read_text())
        return "x"

    os.environ["SOME_API_KEY"] = "secret"
    try:
        lab.value("await agent('x')", answers)
    finally:
        del os.environ["SOME_API_KEY"]
    environ, folder, told = seen
    assert "secret" not in environ
    assert "PATH=" not in environ.replace("LIBRARY_PATH=", "")
    assert folder == "/"
    limits = {line[:26].strip(): line[26:].split()[0] for line in told.splitlines()}
    assert limits["Max data size"] == str(256 << 20)
    for name in ("Max open files", "Max file size", "Max processes", "Max core file size"):
        assert limits[name] == "0"


LEADER = """
import sys
from engine.conftest import echo
from engine.scripts import META, QUICK, children
from paseo_nb.engine.javascript.bodies import script
from paseo_nb.engine.simulated import SimulatedPlace
run = script(META + "await agent('x'); for (;;) {}", "lab", QUICK).at(lambda: SimulatedPlace(echo)).start()
while run.hits == 0 and not [s for s in run.story().steps.values() if s.state == "done"]:
    pass
print(*children(), flush=True)
run.wait()
"""


def test_a_script_dies_with_the_process_that_leads_it(home: Path) -> None:
    path = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    leader = subprocess.Popen([sys.executable, "-c", LEADER], env=env, stdout=subprocess.PIPE)
    assert leader.stdout is not None
    pid = int(leader.stdout.readline())
    leader.send_signal(signal.SIGKILL)
    leader.wait(60)
    deadline = time.monotonic() + 30
    while _goes_on(pid):
        assert time.monotonic() < deadline, "the script's process went on"
        time.sleep(0.02)


def _goes_on(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def test_many_scripts_within_one_are_few_processes_at_once(lab: Lab, monkeypatch) -> None:
    import paseo_nb as paseo
    from engine.scripts import put

    most = 0

    async def answers(wanted) -> str:
        nonlocal most
        most = max(most, len(children()))
        await asyncio.sleep(0.05)
        return "x"

    monkeypatch.setenv("XDG_CONFIG_HOME", str(lab.home.parent / "config"))
    path = put(
        lab.home.parent / "paseo_workflows", "part.js", META + "return await agent('p' + args)"
    )
    paseo.trust(str(path))
    body = (
        "return (await parallel(Array(20).fill(0).map((_, n) => () => workflow('part', n)))).length"
    )
    assert lab.value(body, answers) == 20
    assert 2 <= most <= 9
    healthy(lab)
