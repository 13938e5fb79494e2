"""Secrets: key-like values are planted everywhere, then every file of the project is searched.

Invariants: (1) no file of a run has the value of a variable whose name says that it is secret, nor
a token of a known vendor, in any form that JSON gives it, however the agent cut it; (2) at most the
first two characters of one are seen where a chunk ends in them; (3) the agent gets, and what it has
us write or run gets, what it said: masks are for our files only; (4) other text stays as it is.
Not claimed: half of a secret that an agent itself cut off, a secret in the user's own first prompt
(`spec.json` must keep it to be able to send it).
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from kit import SLACK, Project, check_invariants

from paseo_nb.drivers.transport import LongLine
from paseo_nb.model import Limits
from paseo_nb.supervisor.masking import Masker, secrets_in

DONE = {"id": "$id", "result": {"stopReason": "end_turn"}}
SECRETS = {
    "MY_API_KEY": "zq9PlainKey4711xyz",
    "DB_PASSWORD": "p\"w\\d/ü🙂'<&>secret",
    "SIGNING_SECRET_PEM": "-----BEGIN KEY-----\nMIIEvQIBADANBg\nkqhkiG9w0BAQ\n-----END KEY-----",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzEXAMPLE",
    "TOKEN_ONE": "aaaaaaaab",
}
VENDOR = [
    "sk-" + "ant-api03-Ab1Cd2Ef3Gh4Ij5Kl6Mn7",
    "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
    "github_pat_" + "11AAAAAAA0aaaaaaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbbb",
    "ghr_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8",
    "sk_live_" + "51H8xYzAbCdEfGhIjKlMnOpQr",
    "xapp-" + "1-A0123456789-9876543210-abcdef",
    "ya29." + "a0AfH6SMBx1y2z3-abcDEF_ghiJKL",
    "SG." + "aBcDeFgHiJkLmNoPqRsTuV.wXyZ0123456789abcdefghijkl",
    "glpat-" + "x9Y8z7W6v5U4t3S2r1Q0",
    "xoxb-" + "123456789012-abcdefABCDEF1234",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "AIza" + "SyA1234567890abcdefghijklmnopqrstuvw",
    "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567",
    "npm_" + "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6q7r8",
    "eyJhbGciOi" + "JIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
]
ORDINARY = (
    "task-force risk-free hf_hub hf_hub_download_with_retries npm_config_user_agent "
    "npm_package_scripts_prepublish sk-learn-contrib-imbalanced disk-encryption-at-rest-guide "
    "pypi-publish-to-the-index ASIA-PACIFIC-REGION-EAST desk-top-publishing-software_x "
    "whisk-and-mix-well-then-bake AIzawa ghp_short xoxb-ish SG.short ya29.x xapp-ish "
    "eyJhb TOKEN KEY password"
)
FORBIDDEN = sorted({*SECRETS.values(), *VENDOR}, key=len)


def forms(secret: str) -> set[bytes]:
    """What it may look like in a file: plain, in JSON, in JSON in JSON; whole, or but its first two
    characters (four, or a prefix, for tokens: those tell nothing)."""
    found: set[bytes] = set()
    for part in (secret, secret[2:]):
        once = {part, json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1]}
        once |= {form.replace("/", "\\/") for form in once}
        twice = {json.dumps(form, ensure_ascii=False)[1:-1] for form in once}
        found |= {form.encode() for form in once | twice}
    return found


def leaks(home: Path) -> list[str]:
    """Where a secret stands in a project's files."""
    found: list[str] = []
    wanted = {form: secret for secret in FORBIDDEN for form in forms(secret)}
    for path in home.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            found += [
                f"{path.name}: {secret[:6]}… as {form[:40]!r}"
                for form, secret in wanted.items()
                if form in data
            ]
    return found


@pytest.fixture
def secretive(project: Project) -> Project:
    """A project whose agents get the secrets."""
    project.env.update(SECRETS)
    return project


def told(project: Project, run_id: str) -> str:
    """All text of a journal's chunks, joined."""
    texts: list[str] = []
    for line in project.lines(run_id):
        if line.kind.endswith("_chunk"):
            texts.append(json.loads(bytes(line.raw))["params"]["update"]["content"].get("text", ""))
    return "".join(texts)


def chunk(text: str, kind: str = "agent_message_chunk") -> dict[str, Any]:
    update = {"sessionUpdate": kind, "content": {"type": "text", "text": text}}
    return {"method": "session/update", "params": {"sessionId": "s", "update": update}}


def play(project: Project, *steps: Any, **more: Any) -> tuple[str, list[str]]:
    """A puppet's turn, to its end; (run, command)."""
    file = project.root.parent / "steps.jsonl"  # outside what is searched
    file.write_bytes(
        b"".join(
            json.dumps({"jsonrpc": "2.0", **step}).encode() + b"\n"
            for step in steps
            if "$ask" not in step and "$stderr" not in step
        )
    )
    acts = [step for step in steps if "$ask" in step or "$stderr" in step]
    command = project.puppet(
        {"session/prompt": [[{"$file": str(file)}, *acts, {"$sleep": 0.2}, DONE]]}
    )
    more.setdefault("limits", Limits(idle_s=60, permission_timeout_s=0.2))
    run_id = project.start(command=command, **more)
    project.ended(run_id, within=12 * SLACK)
    return run_id, command


def test_what_an_agent_says_in_every_kind_of_message(secretive: Project) -> None:
    project = secretive
    everything = " | ".join(FORBIDDEN)
    nested = json.dumps({"env": FORBIDDEN, "again": json.dumps(FORBIDDEN)})
    call = {
        "toolCallId": "c",
        "title": everything,
        "kind": "execute",
        "rawInput": {"command": nested},
    }
    updates = [
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": everything}},
        {"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": nested}},
        {"sessionUpdate": "tool_call", **call},
        {"sessionUpdate": "tool_call_update", "toolCallId": "c", "rawOutput": {"out": FORBIDDEN}},
        {
            "sessionUpdate": "plan",
            "entries": [{"content": everything, "priority": "low", "status": "pending"}],
        },
        {"sessionUpdate": "session_info_update", "title": everything},
        {"sessionUpdate": everything, "text": nested},
    ]
    steps: list[Any] = [
        {"method": "session/update", "params": {"sessionId": "s", "update": update}}
        for update in updates
    ]
    steps += [
        {"method": f"_vendor/{everything}", "params": {everything: nested}},
        {
            "id": 77,
            "method": "session/request_permission",
            "params": {"toolCall": call, "options": []},
        },
        {"id": 78, "method": "terminal/create", "params": {"command": everything}},
        {"id": 79, "method": "fs/read_text_file", "params": {"path": "/" + VENDOR[0]}},
        {"id": 80, "method": f"_{everything}", "params": {}},
        {"id": 999, "result": {"text": everything}},
        {"id": 998, "error": {"code": 1, "message": everything}},
        {
            "method": "session/update",
            "params": {"update": {"sessionUpdate": "plan", "entries": nested}},
            "id": everything,
        },
        chunk(ORDINARY),
    ]
    run_id, _ = play(project, *steps, mode="ask")
    project.send(run_id, f"my key is {everything}")
    project.ended(run_id, turns=2)
    assert not leaks(project.host.home)
    assert "•••" in told(project, run_id)
    assert ORDINARY in told(project, run_id), "other text is as it was"
    assert "my key is" in project.history(run_id).turns[1].prompt
    check_invariants(project, run_id)


def test_text_cut_anywhere(secretive: Project) -> None:
    """Each secret cut in two at each place, in pieces of one to four characters, in two messages of
    thought; and words that begin like one."""
    rng = random.Random(5)
    steps: list[Any] = []
    spoken: list[str] = []
    for secret in FORBIDDEN:
        for cut in range(1, len(secret)):
            steps += [chunk(f"<{secret[:cut]}"), chunk(f"{secret[cut:]}> ")]
        for most in (1, 2, 4):
            text, at = f"[{secret}] and on. ", 0
            while at < len(text):
                size = rng.randrange(1, most + 1)
                steps.append(chunk(text[at : at + size], "agent_thought_chunk"))
                at += size
    for word in ORDINARY.split():
        for cut in (1, 2, 3, 5):
            steps += [chunk(word[:cut]), chunk(word[cut:] + " ")]
            spoken.append(word)
    run_id, _ = play(secretive, *steps)
    whole = told(secretive, run_id)
    for secret in FORBIDDEN:
        assert secret not in whole, f"{secret[:6]}… over several chunks"
        for form in forms(secret):
            assert form.decode() not in whole
    assert not leaks(secretive.host.home)
    for word in ORDINARY.split():
        assert whole.count(word) >= 4, word
    check_invariants(secretive, run_id)


def test_long_messages_and_what_the_agent_has_us_write(secretive: Project) -> None:
    """Over a megabyte: a blob. The file that is written, and the command that is run, are the
    agent's own words."""
    project = secretive
    padding = "p" * 1_200_000
    content = "\n".join([*FORBIDDEN, padding, *FORBIDDEN])
    small, large = project.root / "small.env", project.root / "large.env"
    create = {
        "command": "/bin/sh",
        "args": ["-c", f"printf %s '{SECRETS['MY_API_KEY']}' > ran.txt"],
        "env": [],
    }
    steps = [
        chunk(content),
        *[
            {
                "$ask": {
                    "method": "fs/write_text_file",
                    "params": {"path": str(path), "content": text},
                }
            }
            for path, text in ((small, "\n".join(FORBIDDEN)), (large, content))
        ],
        {"$ask": {"method": "fs/read_text_file", "params": {"path": str(small)}}},
        {"$ask": {"method": "fs/read_text_file", "params": {"path": str(large)}}},
        {"$ask": {"method": "terminal/create", "params": create}},
    ]
    run_id, command = play(project, *steps, mode="auto")
    assert small.read_text() == "\n".join(FORBIDDEN)
    assert large.read_text() == content
    project.until(lambda: (project.root / "ran.txt").exists(), 10)
    project.until(lambda: (project.root / "ran.txt").read_text() == SECRETS["MY_API_KEY"], 10)
    read = [
        m["result"]["content"] for m in project.got(command) if "content" in m.get("result", {})
    ]
    assert read == ["\n".join(FORBIDDEN), content]
    assert not leaks(project.host.home)
    blobs = [
        path for path in (project.host.home / "blobs").iterdir() if path.stat().st_size > 1 << 20
    ]
    assert len(blobs) == 3
    check_invariants(project, run_id)


def test_terminals_give_back_what_they_print(secretive: Project) -> None:
    """To the agent as it is, to our files masked; also where only the end of it is kept."""
    project = secretive
    names = " ".join(f'"${name}"' for name in SECRETS)
    script = f"printf '%s\\n' {names}; i=0; while [ $i -lt 200 ]; do echo filler $i $MY_API_KEY; i=$((i+1)); done"
    where = {"sessionId": "s", "terminalId": "term-1"}
    steps: list[Any] = [
        {
            "$ask": {
                "method": "terminal/create",
                "params": {"command": "/bin/sh", "args": ["-c", script], "outputByteLimit": limit},
            }
        }
        for limit in (100_000, 1000, 1007, 1013)
    ]
    for number in range(1, 5):
        where = {"sessionId": "s", "terminalId": f"term-{number}"}
        steps += [
            {"$ask": {"method": f"terminal/{verb}", "params": where}}
            for verb in ("wait_for_exit", "output")
        ]
    run_id, command = play(project, *steps, mode="auto")
    outputs = [
        m["result"]["output"] for m in project.got(command) if "output" in m.get("result", {})
    ]
    assert all(value in outputs[0] for value in SECRETS.values())
    assert [
        len(output) <= limit for output, limit in zip(outputs[1:], (1000, 1007, 1013), strict=True)
    ] == [True] * 3
    assert all(output.endswith(f"filler 199 {SECRETS['MY_API_KEY']}\n") for output in outputs)
    assert not leaks(project.host.home)
    kept = b"".join(
        bytes(line.raw) for line in project.lines(run_id) if line.kind == "terminal/output:result"
    )
    key = SECRETS["MY_API_KEY"]
    assert not any(key[at:].encode() in kept for at in range(len(key) - 5)), "no half of one either"


def test_standard_error_and_the_reason_of_an_end(secretive: Project) -> None:
    project = secretive
    parts: list[str] = []
    for secret in FORBIDDEN:
        for cut in (1, 2, 3, len(secret) // 2, len(secret) - 1):
            parts += [f"err {secret[:cut]}", f"{secret[cut:]} .\n"]
    rng = random.Random(3)
    log = "".join(parts)
    while log:  # pieces that end anywhere
        size = rng.randrange(1, 400)
        parts.append(log[:size])
        log = log[size:]
    run_id, _ = play(project, {"$stderr": [*parts[: len(parts) // 2], ORDINARY, "\n"]})
    project.until(lambda: b"password" in project.folder(run_id).stderr.read_bytes(), 10)
    dying = project.puppet(
        {"session/prompt": [[{"$stderr": [f"fatal: bad key {FORBIDDEN[-1]}"]}, {"$exit": 4}]]}
    )
    died = project.start(command=dying)
    problem = project.ended(died).error
    assert problem is not None
    assert "fatal: bad key" in problem.message
    project.command(run_id, "stop")
    project.gone(run_id, 30)
    project.gone(died, 30)
    assert not leaks(project.host.home)
    assert ORDINARY.split()[0].encode() in project.folder(run_id).stderr.read_bytes()


def test_environment_values_are_on_no_disk_and_in_no_process_list(secretive: Project) -> None:
    """They go to the pair by pipe and to the agent by its environment, nowhere else."""
    project = secretive
    run_id = project.start("secrets", " ".join(SECRETS), env_names=sorted(SECRETS))
    history = project.ended(run_id)
    assert "•••" in history.text or any("•••" in item.text for item in history.items)
    spec = project.folder(run_id).spec.read_bytes()
    assert all(name.encode() in spec for name in SECRETS), "the names are kept"
    pids = project.processes(run_id)
    agent = Path(f"/proc/{pids['agent']}/environ").read_bytes()
    assert SECRETS["MY_API_KEY"].encode() in agent
    for name in ("warden", "supervisor"):
        for file in ("environ", "cmdline"):
            seen = Path(f"/proc/{pids[name]}/{file}").read_bytes()
            assert not [name for name, value in SECRETS.items() if value.encode() in seen]
    assert not leaks(project.host.home)
    for path in project.host.home.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, f"{path} is for its owner only"


# ------------------------------------------------------------ the mask by itself


def test_which_variables_are_secret() -> None:
    environment = {
        "OPENAI_API_KEY": "a-long-value", "GH_TOKEN": "b-long-value", "db_password": "c-long-value",
        "SECRET": "short", "SSH_KEY_FILE": "/home/u/.ssh/id_rsa", "HOME": "/home/user", "EDITOR": "vim-or-emacs",
        "CREDENTIALS": "d-long-value", "AWS_SECRET_ACCESS_KEY": "/e/long+value", "DB_PASS": "f-long-value",
        "SSH_AUTH_SOCK": "/run/u/agent", "URL": "postgres://u:g-long-value@h/db", "BYPASS": "not-a-secret",
    }  # fmt: skip
    assert sorted(secrets_in(environment)) == [
        "/e/long+value",
        "a-long-value",
        "b-long-value",
        "c-long-value",
        "d-long-value",
        "f-long-value",
        "g-long-value",
    ]


@pytest.mark.parametrize("word", ORDINARY.split())
def test_ordinary_words_stay(word: str) -> None:
    mask = Masker(SECRETS.values())
    for text in (word, f"a {word}, b", f'"{word}"', f"x={word};", word.upper(), word * 2):
        assert mask(text.encode()).decode() == text


@pytest.mark.parametrize("token", VENDOR)
def test_vendor_tokens_go(token: str) -> None:
    mask = Masker(())
    for text in (
        token,
        f"a {token}, b",
        f'{{"k":"{token}"}}',
        f"export X={token};",
        f"https://x:{token}@y/",
    ):
        assert token not in mask(text.encode()).decode()
        assert mask(mask(text.encode())) == mask(text.encode())


KEY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"
BODY = "\n".join([KEY] * 24)
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{BODY}\n-----END RSA PRIVATE KEY-----\n"


@pytest.mark.parametrize("piece", [1, 3, 7, 40, 500, 5000])
def test_a_private_key_is_masked_however_it_is_cut(project: Project, piece: int) -> None:
    """Its beginning and end stay, and what is said around it; so does a public key."""
    public = f"-----BEGIN PUBLIC KEY-----\n{KEY[::-1]}\n-----END PUBLIC KEY-----\n"
    text = f"Look -- here:\n{PEM}That was it - the key.\n{public}{PEM}End."
    chunks = [text[at : at + piece] for at in range(0, len(text), piece)]
    lines = project.root / "lines.jsonl"
    lines.write_text("".join(json.dumps(said(chunk)) + "\n" for chunk in chunks))
    aside = [PEM[at : at + 400] for at in range(0, len(PEM), 400)]
    steps = [{"$file": str(lines)}, {"$stderr": aside}, {"$sleep": 0.3}, DONE]
    command = project.puppet({"session/prompt": [steps]})
    run_id = project.start(command=command, limits=Limits(idle_s=60))
    history = project.ended(run_id, within=4 * SLACK)
    block = "-----BEGIN RSA PRIVATE KEY-----•••-----END RSA PRIVATE KEY-----\n"
    left = f"Look -- here:\n{block}That was it - the key.\n{public}{block}End."
    assert history.text == left
    written = b"".join(
        file.read_bytes()
        for file in project.folder(run_id).path.iterdir()
        if file.name != "spec.json"
    )
    assert KEY[8:40].encode() not in written


def said(words: str) -> dict[str, Any]:
    content = {"type": "text", "text": words}
    told = {"sessionUpdate": "agent_message_chunk", "content": content}
    params = {"sessionId": "puppet-session", "update": told}
    return {"jsonrpc": "2.0", "method": "session/update", "params": params}


def test_a_private_key_that_is_cut_off_hides_nothing_else() -> None:
    masker = Masker()
    half = json.dumps({"text": PEM[:200], "more": "word"}).encode()
    assert json.loads(masker(half)) == {
        "text": "-----BEGIN RSA PRIVATE KEY-----•••", "more": "word",
    }  # fmt: skip
    twice = json.dumps({"text": json.dumps({"key": PEM})}).encode()
    told = json.loads(json.loads(masker(twice))["text"])["key"]
    assert told == "-----BEGIN RSA PRIVATE KEY-----•••-----END RSA PRIVATE KEY-----\n"
    words = b"BEGIN with a PRIVATE KEY, they say"
    assert masker(words) == words


@pytest.mark.parametrize("before", [0, 1000, 65_000, 65_500, 65_536])
def test_a_private_key_is_masked_in_a_message_that_comes_in_parts(
    tmp_path: Path, before: int
) -> None:
    told = json.dumps({"text": "x " * (before // 2) + PEM + "y " * 40_000 + PEM}).encode()
    long = LongLine(tmp_path, Masker())
    for at in range(0, len(told), 1 << 16):
        long.write(told[at : at + (1 << 16)])
    digest, *_ = long.finish()
    written = (tmp_path / digest).read_bytes()
    assert KEY[8:40].encode() not in written
    assert json.loads(written)["text"].count("BEGIN RSA PRIVATE KEY-----•••-----END") == 2
