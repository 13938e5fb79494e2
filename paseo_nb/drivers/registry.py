"""The registry: every provider there is, and what an agent's name stands for.

Built-in ones, the user's file over them, a trusted project file over that, and over all what
`register_provider` was told in this process. `resolve` turns `provider/model` or `@profile` into a
command that can be started. Called by whoever prepares a run, and by the doctor.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .. import config, declared
from ..errors import NotTrusted, UsageProblem
from ..installing import bin_folder
from ..model import RunSpec
from ..pinned import AGENTS
from ..trusting import PROJECT_FILE, not_trusted, user_folder
from . import acp_command, api, demo
from .provider import Provider, ProviderTable
from .resolved import Resolved, asking_of
from .table import ROWS

PROFILE = "@"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_registered: dict[str, Provider] = {}
_as_given: dict[str, dict[str, Any]] = {}
told_models: dict[str, list[str]] = {}  # by provider, as agents that were asked told here


def asking_again(spec: RunSpec) -> dict[str, str]:
    """The variables by which the agent of a run that is brought back is made to ask."""
    provider = built_in().get(spec.at_heart)
    told = {} if provider is None else asking_of(provider, spec.mode, spec.rules)
    return {name: value for name, value in told.items() if name in spec.env_names}


def built_in() -> dict[str, Provider]:
    """What comes with us, in the table's order."""
    made: dict[str, Provider] = {}
    for row in ROWS:
        module = importlib.import_module(f".{row.name}", __package__)
        made[row.name] = module.provider() if hasattr(module, "provider") else module.PROVIDER
    return made


def providers(project: Path) -> dict[str, Provider]:
    """Every provider by name. One from a project file that the user has not trusted is listed
    with `trusted=False` and cannot be used, and may be broken: it must not stand in the way of
    others. UsageProblem for a broken file that is trusted."""
    known = built_in()
    bases = {**known, acp_command.NAME: acp_command.PROVIDER}
    for file in config.files(project):
        where = str(file.path)
        tables = declared.check_tables(file.table.get("providers", {}), "providers", where)
        for name, given in tables.items():
            what = f"[providers.{name}]"
            try:
                table = ProviderTable(**declared.check_table(ProviderTable, given, what, where))
                made = _made(name, table, bases, f"{where}: {what}")
            except UsageProblem as error:
                if file.trusted:
                    raise
                made = Provider(name=name, command=[], notes=str(error))
            known[name] = msgspec.structs.replace(
                made, source=file.source, trusted=file.trusted, folder=str(file.path.parent)
            )
    return {**known, **_registered}


def register_provider(
    name: str,
    command: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    extends: str | None = None,
    models: Sequence[str] | None = None,
    *,
    default_model: str | None = None,
    model_args: Sequence[str] | None = None,
    auth_method: str | None = None,
) -> Provider:
    """Make a provider known in this process; returns it.

    command: a program that speaks ACP, with its arguments. env: variables for it, `${VAR}` takes a
    value from your environment at every start. extends: "acp" (the default) or a built-in provider
    that is to be changed. models: the names it knows (else any goes). model_args: arguments that
    choose a model, as in `["--model", "{model}"]`; without them it is chosen in the session.
    UsageProblem where that makes no provider.
    """
    given = {
        "extends": extends,
        "command": None if command is None else list(command),
        "env": None if env is None else dict(env),
        "models": None if models is None else list(models),
        "default_model": default_model,
        "model_args": None if model_args is None else list(model_args),
        "auth_method": auth_method,
    }
    where = f"register_provider({name!r})"
    told = {key: value for key, value in given.items() if value is not None}
    table = ProviderTable(**declared.check_table(ProviderTable, told, "the arguments", where))
    bases = {**built_in(), acp_command.NAME: acp_command.PROVIDER}
    made = _made(name, table, bases, where)
    made = msgspec.structs.replace(made, source="registered", folder=str(Path.cwd()))
    _registered[name], _as_given[name] = made, told
    return made


def registered_here() -> dict[str, dict[str, Any]]:
    """What `register_provider` was told in this process, by name: to tell it another process."""
    return dict(_as_given)


def _made(name: str, table: ProviderTable, bases: Mapping[str, Provider], where: str) -> Provider:
    if not name or "/" in name or name.startswith(PROFILE) or name == acp_command.NAME:
        raise UsageProblem(f"{where}: {name!r} cannot be a provider's name")
    extends = table.extends or (name if name in bases else acp_command.NAME)
    if extends not in bases:
        raise UsageProblem(
            f"{where}: extends = {extends!r} is neither acp nor a built-in provider."
            f" {declared.nearest(extends, bases)}"
        )
    made = table.over(bases[extends], name=name)
    if not made.command or not made.command[0]:
        raise UsageProblem(f'{where}: it has no command; write command = ["program", …]')
    return made


# ---------------------------------------------------------------- resolving


def resolve(
    agent: str,
    project: Path,
    environment: Mapping[str, str] | None = None,
    *,
    to_start: bool = True,
) -> Resolved:
    """What `provider/model`, `provider` or `@profile` stands for, ready to start.

    The provider's name ends at the first slash. UsageProblem for an unknown name (with the nearest
    ones), a program that is not installed (with how to install it) or an unset `${VAR}`;
    NotTrusted where only an untrusted project file knows it. `environment`: where variables and
    programs are looked for, os.environ by default. to_start: False where it is not going to be:
    then its program, packages and keys need not be there.
    """
    environment = os.environ if environment is None else environment
    asked, mode, effort, mcp_set = agent.strip(), None, None, dict[str, Any]()
    if asked.startswith(PROFILE):
        profile, mcp_set = _profile(asked, project)
        asked, mode, effort = profile.agent, profile.mode, profile.effort
    name, slash, model = asked.partition("/")
    known = providers(project)
    if name not in known:
        raise UsageProblem(unknown_provider(name, known))
    provider = known[name]
    if not provider.trusted:
        raise _untrusted(provider)
    if slash and not model:
        raise UsageProblem(f"{agent!r} names no model: write {name}/MODEL, or {name} alone")
    chosen = model or provider.default_model
    extra = _model_arguments(provider, chosen)
    folders = _agent_folders(project)
    found = _command(provider, folders, project, environment) if to_start else provider.command
    command = [*found, *provider.args, *extra]
    env = _environment(provider, command[0], folders, environment) if to_start else {}
    seen = {**environment, **env}
    if to_start and provider.extends == api.NAME and provider.packages:
        api.check(agent.strip(), chosen, seen)
    wants_auth = provider.auth_needs is None or bool(seen.get(provider.auth_needs))
    return Resolved(
        agent=agent.strip(),
        provider=name,
        model=chosen,
        command=command,
        env=env,
        env_names=sorted(env),
        dialect=provider.dialect,
        new_session=provider.new_session,
        old_session=provider.old_session,
        budget_args=provider.budget_args,
        model_by=provider.model_by,
        auth_method=provider.auth_method if wants_auth else None,
        mode=mode,
        effort=effort,
        scripted=provider.scripted,
        extends=provider.extends,
        tested=AGENTS[provider.extends].told if provider.extends in AGENTS else None,
        mcp=provider.capabilities.mcp,
        tells_cost=provider.capabilities.cost,
        asks=provider.capabilities.asks,
        asks_to_look=provider.capabilities.asks_to_look,
        asking_modes=provider.capabilities.asking_modes,
        asking=provider.asking,
        asking_all=provider.asking_all,
        asking_args=provider.asking_args,
        asking_all_args=provider.asking_all_args,
        mcp_set=mcp_set,
        unnamed=_unnamed(provider, seen) if provider.wants_model and chosen is None else None,
    )


def _unnamed(provider: Provider, environment: Mapping[str, str]) -> str:
    known = ", ".join(f"{provider.name}/{model}" for model in provider.models[:8])
    said = f"write {known}" if known else api.choices(environment)
    return f"{provider.name} needs the name of a model: {said}"


def environment_of(name: str, program: str, project: Path) -> dict[str, str]:
    """What a provider gives an agent of its own beyond the inherited environment, where the program
    (an absolute path) is known: it need not be found again. Nothing for a provider that is not
    known here. UsageProblem for an unset `${VAR}`, NotTrusted as in `resolve`."""
    provider = providers(project).get(name)
    if provider is None:
        return {}
    if not provider.trusted:
        raise _untrusted(provider)
    return _environment(provider, program, _agent_folders(project), os.environ)


def find_program(provider: Provider, project: Path) -> str | None:
    """Where a provider's program lies, absolute; None where it is not installed."""
    try:
        return _command(provider, _agent_folders(project), project, os.environ)[0]
    except UsageProblem:
        return None


def _untrusted(provider: Provider) -> NotTrusted:
    file = Path(str(provider.folder)) / PROJECT_FILE
    return not_trusted(file, f"says what runs as {provider.name!r}")


def _environment(
    provider: Provider, program: str, folders: list[str], environment: Mapping[str, str]
) -> dict[str, str]:
    """Its switches and variables, and a PATH with the program's own folder where we know that."""
    env = {key: value for key, value in provider.switches.items() if key not in environment}
    env |= {key: _filled(value, key, provider, environment) for key, value in provider.env.items()}
    beside = os.path.dirname(program)
    if beside in (*folders, str(bin_folder())):  # its own helpers, node say, may lie beside it
        path = env.get("PATH", environment.get("PATH", os.defpath))
        env["PATH"] = os.pathsep.join([*(folders if beside in folders else [beside]), path])
    return env


def _profile(asked: str, project: Path) -> tuple[config.Profile, dict[str, Any]]:
    settings = config.settings(project)
    profiles = settings.profiles
    name = asked.removeprefix(PROFILE)
    if name not in profiles:
        names = [PROFILE + one for one in profiles]
        hint = declared.nearest(asked, names) or "Write one: [profiles.NAME] agent = …"
        raise UsageProblem(f"no profile {asked!r} in the settings. {hint}")
    if profiles[name].agent.startswith(PROFILE):
        raise UsageProblem(f"profile {asked!r} names another profile; its agent is provider/model")
    return profiles[name], config.mcp_set(settings, profiles[name])


def unknown_provider(name: str, known: Mapping[str, Provider]) -> str:
    """What to say of a provider's name that there is not."""
    if name == acp_command.NAME:
        return (
            "acp is what providers of your own extend, it has no command: add [providers.NAME]"
            f" with command = […] to {user_folder() / 'config.toml'}, or call register_provider"
        )
    return (
        f"no provider {name!r}. {declared.nearest(name, known)} Any program that speaks ACP can be"
        " one: see [providers.NAME] in docs/settings.md, or register_provider."
    )


def _model_arguments(provider: Provider, model: str | None) -> list[str]:
    """The arguments that choose the model, after a look whether it is known."""
    if model is None:
        return []
    scripted = provider.scripted and model.startswith(demo.SCRIPT)
    if provider.models and model not in provider.models and not scripted:
        hint = declared.nearest(model, provider.models)
        raise UsageProblem(f"{provider.name} knows no model {model!r}. {hint}")
    if provider.scripted:
        return demo.model_arguments(model)
    if provider.model_by == "session":
        return []
    return [part.replace("{model}", model) for part in provider.model_args]


# ---------------------------------------------------------------- finding


def _agent_folders(project: Path) -> list[str]:
    named = (config.settings(project).agents_path or "").split(os.pathsep)
    return [os.path.abspath(project / Path(part).expanduser()) for part in named if part]


def _command(
    provider: Provider, folders: list[str], project: Path, environment: Mapping[str, str]
) -> list[str]:
    """The command with an absolute program; what it names beside its file, absolute too."""
    missing = [name for name in provider.packages if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageProblem(
            f"{provider.name}: its packages {', '.join(missing)} are not installed."
            f" Install them: {provider.install}"
        )
    program, *arguments = provider.command
    beside = Path(provider.folder) if provider.folder else project
    path = environment.get("PATH", os.defpath)
    path = os.pathsep.join([*folders, path, str(bin_folder())])
    if os.sep in program:
        found = shutil.which(beside / Path(program).expanduser())
    else:
        found = shutil.which(program, path=path)
    if found and provider.version_of and not shutil.which(provider.version_of, path=path):
        found, program = None, provider.version_of
    if found is None:
        how = f"Install it: {provider.install}. " if provider.install else ""
        raise UsageProblem(
            f"{provider.name}: there is no program {program!r} on PATH. {how}If it lies elsewhere,"
            " name its folder in PASEO_NB_AGENTS_PATH."
        )
    if provider.folder is not None:
        arguments = [_absolute(argument, beside) for argument in arguments]
    return [os.path.abspath(found), *arguments]


def _absolute(argument: str, beside: Path) -> str:
    """`agent.py` as a path, if that file lies beside the settings: the agent's own working folder
    is another one, and may hold another `agent.py`."""
    looks_like_file = not argument.startswith("-") and ("." in argument or os.sep in argument)
    file = os.path.join(beside, argument)
    return file if looks_like_file and os.path.isfile(file) else argument


def _filled(value: str, key: str, provider: Provider, environment: Mapping[str, str]) -> str:
    def fill(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in environment:
            raise UsageProblem(
                f"{provider.name}: its variable {key} needs {name}, which is not set:"
                f" os.environ[{name!r}] = …"
            )
        return environment[name]

    return _VARIABLE.sub(fill, value)
