"""What a pair is made of: only what it may import, no file or lock in the agent's hands, nothing of
the user's Python settings.

Invariants: (1) the supervisor imports the standard library, msgspec, ahocorasick_rs and a fixed part
of paseo_nb, all of it when it starts; (2) PYTHONPATH, PYTHONSTARTUP, a sitecustomize or a module
in the working folder change nothing in it, and reach the agent untouched; (3) the agent holds no
descriptor of ours but its three pipes; (4) the agent's tree and the pair are told apart by
`PASEO_RUN`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from kit import Project

from paseo_nb.host.launch import import_path

# What may be there besides the standard library. `tests` of an upgrade rely on it: a supervisor that
# imported more could mix old code with new.
ALLOWED = re.compile(
    r"msgspec(\..*)?|ahocorasick_rs(\..*)?|paseo_nb"
    r"|typing_extensions"  # msgspec takes it where it is there
    r"|paseo_nb\.(model|pricing|inbox|journal|locks|packing|plain_git|scratch|wire|drivers|drivers\..+|supervisor"
    r"|supervisor\..+)"
)
NOT_ALLOWED = re.compile(
    # providers and how they are found belong to front ends
    r"paseo_nb\.drivers\.(registry|provider|demo|gemini|opencode|acp_command|claude|codex|copilot|pi)"
)


def loaded(path: list[str]) -> list[str]:
    """The modules that are loaded when the supervisor's is imported as the entry imports it."""
    code = (
        "import json,sys; sys.path += json.loads(sys.argv[1])\n"
        "before = set(sys.modules)\n"
        "import paseo_nb.supervisor.entry\n"
        "light = sorted(set(sys.modules) - before)\n"
        "import paseo_nb.supervisor.main\n"
        "print(json.dumps([light, sorted(set(sys.modules) - before)]))\n"
    )
    argv = [sys.executable, "-I", "-S", "-c", code, json.dumps(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd="/")
    light, all_of_it = json.loads(done.stdout)
    assert not [name for name in light if name.startswith(("asyncio", "msgspec"))], (
        "the warden is light"
    )
    return all_of_it


def test_what_a_supervisor_imports() -> None:
    modules = loaded(import_path())
    assert "paseo_nb.supervisor.turns" in modules
    standard = sys.stdlib_module_names
    strange = [
        name
        for name in modules
        if name.split(".")[0] not in standard and not ALLOWED.fullmatch(name)
    ]
    assert strange == []
    assert [name for name in modules if NOT_ALLOWED.fullmatch(name)] == []
    heavy = {
        "ssl",
        "http",
        "http.client",
        "urllib.request",
        "ctypes.util",
        "multiprocessing",
        "sqlite3",
        "tempfile",
        "shutil",
        "difflib",
        "xml",
        "unittest",
    }
    assert heavy & set(modules) <= {"ssl"}, "asyncio brings ssl; nothing else is needed"


def test_a_living_pair(project: Project) -> None:
    """Its files, its libraries, its descriptors and its agent's."""
    sleeping = project.start(script=[[{"say": "a"}, {"shell": "sleep 300"}]])
    project.until(lambda: project.history(sleeping).tool_calls, 20)
    pids = project.processes(sleeping)
    maps = Path(f"/proc/{pids['supervisor']}/maps").read_text()
    libraries = {line.split()[-1] for line in maps.splitlines() if "site-packages" in line}
    names = {re.sub(r".*site-packages/([^/.]+).*", r"\1", library) for library in libraries}
    assert names <= {"msgspec", "ahocorasick_rs"}
    assert "libssl" not in maps
    for name in ("warden", "supervisor"):
        cmdline = Path(f"/proc/{pids[name]}/cmdline").read_bytes().split(b"\0")
        assert cmdline[1:3] == [b"-I", b"-S"]
        assert os.readlink(f"/proc/{pids[name]}/cwd") == "/"
    home = str(project.host.home)

    def open_files(pid: int) -> list[str]:
        folder = f"/proc/{pid}/fd"
        return [os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)]

    assert f"{home}/runs/{sleeping}/lock" in open_files(pids["supervisor"])
    assert f"{home}/runs/{sleeping}/lock" in open_files(pids["warden"])
    pair = {pids["warden"], pids["supervisor"]}
    project.until(
        lambda: len(set(project.left(sleeping)) - pair) >= 2, 20, "the agent and its command run"
    )
    below = set(project.left(sleeping)) - pair
    for pid in below:
        assert not [file for file in open_files(pid) if file.startswith(home)]
        environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert f"PASEO_RUN={sleeping}".encode() in environ
    agent = open_files(pids["agent"])
    ours = [int(fd) for fd in os.listdir(f"/proc/{pids['agent']}/fd") if int(fd) < 3]
    assert sorted(ours) == [0, 1, 2]
    assert all(file.startswith(("pipe:", "anon_inode:", "socket:", "/")) for file in agent)
    assert os.getsid(pids["agent"]) == pids["agent"] != os.getsid(pids["supervisor"])
    with open(f"/proc/{pids['warden']}/status") as file:
        memory = next(int(line.split()[1]) for line in file if line.startswith("RssAnon"))
    assert memory < 12_000, "the warden is small"


def test_the_users_python_settings_stay_outside(project: Project) -> None:
    poison = project.root / "poison"
    (poison / "paseo_nb").mkdir(parents=True)
    for name in ("sitecustomize", "usercustomize", "msgspec", "asyncio", "paseo_nb/__init__"):
        (poison / f"{name}.py").write_text("raise SystemExit('poisoned')\n")
    (poison / "json.py").write_text("raise SystemExit('poisoned')\n")
    does = {"session/prompt": [[{"id": "$id", "result": {"stopReason": "end_turn"}}]]}
    script = project.puppet(does)
    wrapped = f'echo "$PYTHONPATH|$PYTHONSTARTUP" > seen.txt; PYTHONPATH= exec {" ".join(script)}'
    project.env.update(
        PYTHONPATH=str(poison), PYTHONSTARTUP=str(poison / "json.py"), PYTHONHOME="/none"
    )
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "PYTHONSTARTUP")}
    os.environ.update(PYTHONPATH=str(poison), PYTHONSTARTUP=str(poison / "json.py"))
    try:
        run_id = project.start(command=["/bin/sh", "-c", f"unset PYTHONHOME; {wrapped}"])
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    assert project.ended(run_id).turns[0].outcome == "end_turn"
    assert (project.root / "seen.txt").read_text() == f"{poison}|{poison / 'json.py'}\n"
    assert "poisoned" not in project.folder(run_id).log.read_text()


def test_a_run_folder_is_private_and_says_who_made_it(project: Project) -> None:
    run_id = project.start("echo")
    project.ended(run_id)
    for path in [project.host.home, *project.host.home.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
    (started,) = project.own(run_id, "run_started")
    assert started["run_id"] == run_id
    assert set(started) >= {
        "host",
        "boot_id",
        "pid",
        "warden_pid",
        "socket",
        "protocol",
        "versions",
    }
    assert not project.folder(run_id).log.read_bytes(), "a quiet log"
