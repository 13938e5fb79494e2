"""The environment that an agent gets: this process's, without what only a kernel needs, and with
what the run was started with, whoever brings it back. Values are handed over and never written."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from . import config
from .drivers import registry
from .errors import NotTrusted, UsageProblem
from .mcp_secrets import PREFIX, lifted
from .mcp_sets import servers_of
from .model import RunSpec
from .recorder.pointing import NotRecorded, point

_secrets: dict[str, dict[str, str]] = {}  # of the runs that this process started
# What a kernel sets for itself and no agent should inherit.
_KERNEL_ONLY = ("JPY_", "IPYTHON", "PYDEVD_")
_PLACES = ("PASEO_NB_", "PWD", "OLDPWD", "INIT_CWD")  # they name the project's folder
# What an agent around us has set for itself: one within must not take it for its own.
_OUTER_AGENT = ("PASEO_RUN", "CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT")


def remember(run_id: str, secrets: dict[str, str]) -> None:
    """Keep the keys of a run's MCP servers in this process, for when it brings the run back."""
    _secrets[run_id] = secrets


def environment(more: Mapping[str, str], apart: bool = False) -> dict[str, str]:
    """This process's environment for an agent, without what only a kernel needs. apart: nor what
    names the project's folder, for a contestant of a match."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith((*_KERNEL_ONLY, *(_PLACES if apart else ())))
        and name not in _OUTER_AGENT
        and not (name == "MPLBACKEND" and "inline" in value)
    }
    return {**inherited, **more}


def put_over(asking: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """The variables by which an agent is made to ask. One that is a whole configuration
    (`…_CONTENT`) keeps what the user's own has besides. UsageProblem where that is no JSON."""
    told = dict(asking)
    for name in asking:
        if name.endswith("_CONTENT") and environment.get(name):
            try:
                mine: Any = json.loads(environment[name])
            except ValueError:
                said = f"{name} is no JSON, so the run's policy cannot be put over it: mend it"
                raise UsageProblem(said) from None
            told[name] = json.dumps(_over(mine, json.loads(asking[name])))
    return told


def _over(mine: Any, ours: Any) -> Any:
    if not (isinstance(mine, dict) and isinstance(ours, dict)):
        return ours
    known = cast(dict[str, Any], mine)
    return known | {k: _over(known.get(k), v) for k, v in cast(dict[str, Any], ours).items()}


def environment_again(spec: RunSpec, project: Path) -> dict[str, str]:
    """The environment for a run that is brought back, from whoever brings it back. UsageProblem
    names a variable that the run was started with and that is missing now."""
    known: dict[str, str] = {}
    why = ""
    try:
        known = registry.environment_of(spec.provider, spec.command[0], project)
    except (UsageProblem, NotTrusted) as error:
        why = f" ({error})"  # it matters only where a variable is missing
    known |= put_over(registry.asking_again(spec), {**os.environ, **known})
    if any(name.startswith(PREFIX) for name in spec.env_names):
        known |= _config_secrets(project) | _secrets.get(spec.run_id, {})
    known |= _pointed(spec, known)
    more = {**known, **(spec.setup.env if spec.setup is not None else {})}
    merged = environment(more, apart=spec.match_id is not None)
    missing = [name for name in spec.env_names if name not in merged]
    if missing:
        raise UsageProblem(
            f"run {spec.run_id} was started with {', '.join(missing)}, which is not set here:"
            f" set it (os.environ[{missing[0]!r}] = …), then try again{why}"
        )
    return merged


def _pointed(spec: RunSpec, known: Mapping[str, str]) -> dict[str, str]:
    """What points the agent of a recorded run at its recorder; its arguments are in its command."""
    if spec.record is None:
        return {}
    seen = {**os.environ, **known}
    try:
        return put_over(point(spec.at_heart, spec.model, seen, Path(spec.cwd)).env, seen)
    except NotRecorded as why:
        raise UsageProblem(f"run {spec.run_id} was recorded and cannot be now: {why}") from None


def _config_secrets(project: Path) -> dict[str, str]:
    """The keys that stand as they are in the settings' MCP servers."""
    try:
        settings = config.settings(project)
        sets = [settings.mcp, *(config.mcp_set(settings, p) for p in settings.profiles.values())]
        return {name: value for one in sets for name, value in lifted(servers_of(one))[1].items()}
    except (UsageProblem, NotTrusted):
        return {}
