"""api: our own agent for any model endpoint, over ACP. `api/deepseek-chat`, `api/vllm:qwen3`.

A bare name tells whose model it is; `KIND:MODEL` names the kind of endpoint. Keys and addresses
come from the usual variables.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ..errors import UsageProblem
from .provider import Capabilities, Provider

NAME = "api"

# Find: it comes with us and runs under our own Python, on two packages of an optional extra.
PACKAGES = ("pydantic_ai", "mcp")
INSTALL = "pip install 'paseo_nb[api]'"

# Launch: isolated as `demo` is, from explicit folders behind the standard library.
_BOOT = (
    "import runpy,sys;sys.path+=sys.argv.pop(1).split({sep!r});"
    "runpy.run_module('paseo_nb.programs.api',run_name='__main__',alter_sys=True)"
)


def command() -> list[str]:
    """The program without a choice of model."""
    folders = [str(Path(__file__).resolve().parents[2])]
    for name in ("msgspec", *PACKAGES, "pydantic", "anyio"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            folders.append(str(Path(spec.origin).resolve().parents[1]))
    joined = os.pathsep.join(dict.fromkeys(folders))
    return [sys.executable, "-I", "-S", "-c", _BOOT.format(sep=os.pathsep), joined]


def check(agent: str, model: str | None, environment: Mapping[str, str]) -> None:
    """UsageProblem where the model's name stands for no endpoint, or its key is not set."""
    if model is None:
        return
    from ..programs.api.endpoints import NoEndpoint, find

    try:
        find(model, environment)
    except NoEndpoint as error:
        raise UsageProblem(f"{agent}: {error}") from error


def choices(environment: Mapping[str, str]) -> str:
    """What to write, those first whose key or address is set."""
    from ..programs.api.endpoints import FORMS, SERVICES

    ready = [
        f"api/{name}:MODEL"
        for name, service in SERVICES.items()
        if any(environment.get(v) for v in (*service.key_variables, *service.url_variables))
    ]
    set_up = f"; a key or an address is set for {', '.join(ready)}" if ready else ""
    return f"write {FORMS}{set_up}"


# Differences from plain ACP: none. Its modes are ask, edit, plan and auto; it asks for edits, for
# commands, for MCP tools and for what lies outside its folder. A failed model call is an error of
# `session/prompt` whose `data.cause` names the cause; `_paseo_nb/model_call` and `_paseo_nb/retry`
# tell of each call and of each repeated one, `_paseo_nb/model_request` of what it sent (hashes and
# sizes), `_paseo_nb/compaction` of what the model no longer
# sees where its context was nearly full (by the library's list of windows, else by its refusal).
NOTES = "our own agent for any model endpoint"

# Capabilities
CAPABILITIES = Capabilities(
    images=True,
    mcp=("stdio", "http"),
    returns="resume",
    asks=True,
    asking_modes=("ask", "plan"),
    permissions=("allow_once", "allow_always", "reject_once", "reject_always"),
    effort=True,
    steer=True,
    cost=False,  # beyond what its tokens and the price table tell
    usage="tokens per model call and turn with cache and reasoning; cost where the model is priced",
)

# Usage: per turn, the sum of its model calls, input excluding cached tokens; per call in
# `_paseo_nb/model_call`, in the same form, with its cost where the address is the vendor's own and
# the model priced. `usage_update` has the session's context where the model's window is known.

# Measured: see docs/dependencies.md.


def provider() -> Provider:
    """The provider; where its packages lie is looked up only here."""
    return Provider(
        name=NAME,
        command=command(),
        model_by="argv",
        model_args=["--model", "{model}"],
        install=INSTALL,
        packages=list(PACKAGES),
        wants_model=True,
        notes=NOTES,
        extends=NAME,
        capabilities=CAPABILITIES,
    )
