"""demo: our scripted agent. No model, no key, no connection, yet it really reads, edits and runs.

Its models are scenarios; `demo/script:/path/file.json` plays a script.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from ..errors import UsageProblem
from .provider import Capabilities, Provider

NAME = "demo"
SCRIPT = "script:"

# Find: it comes with us, and runs under the Python that we run under.
INSTALL = ""

# Launch: isolated (-I) and without site packages' start-up code (-S), from explicit folders behind
# the standard library, so that nothing in the agent's own folder, which may be a working copy of
# paseo_nb itself, is imported in its place.
_BOOT = (
    "import runpy,sys;sys.path+=sys.argv.pop(1).split({sep!r});"
    "runpy.run_module('paseo_nb.programs.demo',run_name='__main__',alter_sys=True)"
)


def command() -> list[str]:
    """The program without a choice of scenario."""
    ours = str(Path(__file__).resolve().parents[2])
    theirs = str(Path(msgspec.__file__).resolve().parents[1])
    folders = os.pathsep.join(dict.fromkeys([ours, theirs]))
    return [sys.executable, "-I", "-S", "-c", _BOOT.format(sep=os.pathsep), folders]


def model_arguments(model: str) -> list[str]:
    """`--model NAME`, with `--script FILE` for `script:FILE`. UsageProblem if it is not there."""
    if not model.startswith(SCRIPT):
        return ["--model", model]
    file = Path(model.removeprefix(SCRIPT)).expanduser().absolute()
    if not file.is_file():
        raise UsageProblem(f"demo/{model}: there is no file {file}")
    return ["--script", str(file), "--model", model]


# Differences from plain ACP: none, it is a full ACP agent; its own modes are default, acceptEdits,
# plan and auto.
# Capabilities
CAPABILITIES = Capabilities(
    images=True,
    mcp=None,
    returns="resume",
    asks=True,
    asking_modes=("default", "plan"),
    permissions=("allow_once", "allow_always", "reject_once"),
    effort=True,
    steer=False,
    usage="tokens per turn with cache and reasoning, cost; all made up",
)

# Usage: per turn, input excluding cached tokens, with a made-up cost.
# Measured: ready in 0.1 s on two slow cores.


def provider() -> Provider:
    """The provider; the scenarios are imported only here."""
    from ..programs.demo.catalog import DEFAULT
    from ..programs.demo.scenarios import SCENARIOS

    return Provider(
        name=NAME,
        command=command(),
        model_by="argv",
        model_args=["--model", "{model}"],
        models=[scenario.name for scenario in SCENARIOS],
        default_model=DEFAULT,
        scripted=True,
        notes="scripted, needs no model",
        extends=NAME,
        capabilities=CAPABILITIES,
    )
