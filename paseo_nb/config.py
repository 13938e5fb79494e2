"""Settings, declared as data, and where a project and its things live.

`Settings` is the one declaration: names, types, defaults and meanings; reading, checking and
docs/settings.md (`python -m paseo_nb.config`) come from it. Environment goes over the project's
`paseo_nb.toml`, that over the user's `config.toml`, that over the defaults. Called by whoever
starts something; nothing here starts anything, and providers are `drivers.registry`'s. A little
longer than other files, as the settings are one list.
"""

from __future__ import annotations

import itertools
import os
import tomllib
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from . import declared
from .errors import UsageProblem
from .model import Mode
from .trusting import PROJECT_FILE, is_trusted, not_trusted, user_folder

Json = dict[str, Any]
PREFIX = "PASEO_NB_"
HOME_NAME = ".paseo_nb"
TABLES = ("profiles", "mcp", "prices", "hosts")  # in files only
# Variables that are no settings: they say where things are or what is trusted.
VARIABLES = {
    "HOME": "The folder that runs are kept in, absolute. Default: `.paseo_nb` in the project.",
    "TRUST": "Project files that count without `trust`: paths or SHA-256 sums, separated by `:`.",
}


Positive = Annotated[float, Meta(gt=0)]
PositiveInt = Annotated[int, Meta(gt=0)]
NotNegative = Annotated[float, Meta(ge=0)]


class Profile(msgspec.Struct, frozen=True):
    """`[profiles.NAME]`: what `@NAME` stands for."""

    agent: Annotated[str, Meta(description="The agent, `provider/model`.")]
    mode: Annotated[Mode | None, Meta(description="Its permission mode.")] = None
    effort: Annotated[str | None, Meta(description="Its reasoning effort.")] = None
    mcp: Annotated[
        list[str] | dict[str, Any] | None,
        Meta(description="Its MCP servers: names from `[mcp]`, or tables as there."),
    ] = None


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """`[prices.MODEL]`: what a model costs, in US dollars per million tokens."""

    input: Annotated[NotNegative | None, Meta(description="Tokens in, not cached.")] = None
    output: Annotated[NotNegative | None, Meta(description="Tokens out.")] = None
    cache_read: Annotated[
        NotNegative | None, Meta(description="Tokens in from the cache; none: as `input`.")
    ] = None
    cache_write: Annotated[
        NotNegative | None, Meta(description="Tokens written to the cache; none: as `input`.")
    ] = None
    cache_write_1h: Annotated[
        NotNegative | None, Meta(description="Those kept for an hour; none: as `cache_write`.")
    ] = None
    subscription: Annotated[
        bool, Meta(description="Paid otherwise: no cost is computed for its tokens.")
    ] = False


class HostEntry(msgspec.Struct, frozen=True):
    """`[hosts.NAME]`: another machine, for `host=` and `--host`."""

    url: Annotated[str, Meta(description="The address of its Jupyter Server, with the base URL.")]
    token: Annotated[
        str | None, Meta(description="Its token; `${VAR}` takes it from your environment.")
    ] = None
    project: Annotated[
        str, Meta(description="A folder below the server's own, whose runs are meant.")
    ] = ""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set, with what it means. Times are in seconds."""

    agent: Annotated[
        str | None, Meta(description="The agent of a launch that names none: `provider/model`.")
    ] = None
    mode: Annotated[
        Mode | None,
        Meta(description="Permission mode; none: `edit` in a worktree of its own, else `ask`."),
    ] = None
    timeout: Annotated[
        Positive | None, Meta(description="Seconds that a turn may take at most.")
    ] = None
    silence: Annotated[
        Positive | None,
        Meta(description="Seconds without a sign of the agent that end a turn; a retry is none."),
    ] = 900.0
    permission_timeout: Annotated[
        NotNegative, Meta(description="Seconds until a permission that nobody answers is denied.")
    ] = 300.0
    idle: Annotated[
        NotNegative,
        Meta(description="Seconds after a turn until its processes end; `send` starts them."),
    ] = 300.0
    start_timeout: Annotated[
        Positive, Meta(description="Seconds that an agent may take to get ready.")
    ] = 120.0
    budget: Annotated[
        Positive | None,
        Meta(
            description="US dollars that a run may cost at most, as its agent tells or as its"
            " tokens are priced."
        ),
    ] = None
    token_budget: Annotated[
        PositiveInt | None,
        Meta(description="Tokens that a run may use at most, in (cached ones too) and out."),
    ] = None
    day_budget: Annotated[
        Positive | None,
        Meta(description="US dollars that all runs of the project may cost in a day (UTC)."),
    ] = None
    day_tokens: Annotated[
        PositiveInt | None, Meta(description="Tokens that they may use in a day.")
    ] = None
    day_hours: Annotated[
        Positive | None, Meta(description="Hours that their turns may take in a day, summed.")
    ] = None
    project_budget: Annotated[
        Positive | None, Meta(description="US dollars that all runs of the project may cost.")
    ] = None
    project_tokens: Annotated[
        PositiveInt | None, Meta(description="Tokens that they may use in all.")
    ] = None
    project_hours: Annotated[
        Positive | None, Meta(description="Hours that their turns may take, summed.")
    ] = None
    reuse: Annotated[
        bool, Meta(description="Return a finished run of the same content instead of a new one.")
    ] = False
    replay: Annotated[
        bool, Meta(description="Answer from journals only; refuse to start an agent.")
    ] = False
    widgets: Annotated[
        bool, Meta(description="Show runs as live widgets where a front end can; else HTML only.")
    ] = True
    setup: Annotated[
        bool,
        Meta(description="Set up new worktrees as the repository's `paseo.json` has it (git.md)."),
    ] = True
    copy_files: Annotated[
        str | None,
        Meta(
            description="Untracked files to copy into new worktrees, as `.env` or `config/*.local`;"
            " joined by `:`."
        ),
    ] = None
    agents_path: Annotated[
        str | None,
        Meta(description="Further folders to find agent CLIs in, before `PATH`; joined by `:`."),
    ] = None
    conduct_depth: Annotated[
        PositiveInt, Meta(description="Levels of runs that may be below a run that conducts.")
    ] = 2
    conduct_children: Annotated[
        PositiveInt,
        Meta(description="Runs that one that conducts may have started and not archived."),
    ] = 16
    brought_mb: Annotated[
        PositiveInt,
        Meta(
            description="Megabytes of attachments and bundles that other machines and paired"
            " devices may have brought here and that still lie here."
        ),
    ] = 16384
    device_mb: Annotated[
        PositiveInt, Meta(description="Of these, what one paired device may have brought.")
    ] = 1024
    profiles: Annotated[
        dict[str, Profile],
        Meta(description="Agents with a mode, effort and MCP servers of their own: `@NAME`."),
    ] = {}
    mcp: Annotated[
        dict[str, Any], Meta(description="MCP servers by name, for profiles to choose from.")
    ] = {}
    prices: Annotated[
        dict[str, Price],
        Meta(
            description="What models cost, over the bundled price table: by `model`, or"
            " `provider/model` with `*`."
        ),
    ] = {}
    hosts: Annotated[
        dict[str, HostEntry], Meta(description="Other machines by name, for `host=`.")
    ] = {}


class ConfigFile(msgspec.Struct, frozen=True):
    """A settings file as it was read. `trusted` is of this very content; a user's own always is,
    and so is one that asks for nothing that needs trust."""

    path: Path
    source: Literal["user", "project"]
    table: Json
    trusted: bool


# ---------------------------------------------------------------- where things live

# For who serves several projects in one process: the folder of the one that is asked about.
standing: ContextVar[Path | None] = ContextVar("standing", default=None)


def here() -> Path:
    """The working folder: the process's, or what stands for it in the present call."""
    return standing.get() or Path.cwd()


def project_root(start: str | os.PathLike[str] | None = None) -> Path:
    """The project of a folder (default: the working folder): the top of its repository's main
    worktree, so that runs of one repository stay together, else the folder itself. A linked
    worktree of a bare repository is a project of its own. Inside `.paseo_nb/worktrees` it is the
    project that owns them, so that an agent at work there lands in the same store."""
    folder = Path(start or here()).expanduser().resolve()
    if folder.is_file():
        folder = folder.parent
    parts = folder.parts
    for at, pair in enumerate(itertools.pairwise(parts)):
        if pair == (HOME_NAME, "worktrees") and at + 2 < len(parts):
            return Path(*parts[:at])
    top = git_top(folder)
    return _main_worktree(top) or top


def _main_worktree(top: Path) -> Path | None:
    """The main worktree of the repository that a linked worktree belongs to, where it has one."""
    try:
        named = (top / ".git").read_text().strip()  # a folder in an ordinary repository
        git_dir = top / named.removeprefix("gitdir: ")
        common = (git_dir / "commondir").read_text().strip()  # a submodule has none
    except (OSError, UnicodeDecodeError):
        return None
    git_folder = Path(os.path.realpath(git_dir / common))
    return git_folder.parent if git_folder.name == ".git" else None


def git_top(folder: Path) -> Path:
    """The top of the git working tree that a folder lies in (a linked worktree's own), else the
    folder itself: where an agent works, as `project_root` is where its runs are kept."""
    for candidate in (folder, *folder.parents):
        dot_git = candidate / ".git"
        if dot_git.is_file() or (dot_git / "HEAD").exists():
            return candidate
    return folder


def home(start: str | os.PathLike[str] | None = None) -> Path:
    """Where the runs of a folder's project are kept: PASEO_NB_HOME, or `.paseo_nb` in its root."""
    named = os.environ.get(PREFIX + "HOME", "")
    if not named:
        return project_root(start) / HOME_NAME
    path = Path(named).expanduser()
    if not path.is_absolute():
        raise UsageProblem(
            f"{PREFIX}HOME={named!r} must be an absolute path: agents inherit it and work elsewhere"
        )
    return path


# ---------------------------------------------------------------- reading


def settings(project: Path) -> Settings:
    """The settings that hold in a project.

    UsageProblem where a file or variable cannot be read, names an unknown setting or has a wrong
    value; NotTrusted where an untrusted project file wants what only a trusted one may.
    """
    kinds = declared.kinds(Settings)
    values: Json = {}
    profiles: dict[str, Profile] = {}
    prices: dict[str, Price] = {}
    servers: Json = {}
    hosts: dict[str, HostEntry] = {}
    for file in files(project):
        where, wants = str(file.path), _loosens(file.table)
        if wants and not file.trusted:
            raise not_trusted(file.path, wants[0])
        for name, value in file.table.items():
            declared.check_name(name, [*kinds, "providers"], "setting", where)
            if name == "profiles":
                for one, table in declared.check_tables(value, name, where).items():
                    told = declared.check_table(Profile, table, f"[profiles.{one}]", where)
                    if isinstance(told.get("mcp"), dict):
                        told["mcp"] = _beside(told["mcp"], file.path.parent)
                    profiles[one] = Profile(**told)
            elif name == "prices":
                for one, table in declared.check_tables(value, name, where).items():
                    told = declared.check_table(Price, table, f"[prices.{one}]", where)
                    prices[one] = Price(**told)
            elif name == "hosts":
                for one, table in declared.check_tables(value, name, where).items():
                    if one in ("all", "local"):
                        raise UsageProblem(f"{where}: [hosts.{one}]: {one!r} means something else")
                    told = declared.check_table(HostEntry, table, f"[hosts.{one}]", where)
                    hosts[one] = HostEntry(**told)
            elif name == "mcp":
                tables: Json = declared.check_tables(value, name, where)
                servers |= _beside(tables, file.path.parent)
            elif name != "providers":
                values[name] = declared.check_value(kinds[name], value, f"{where}: {name}")
    for name, kind in kinds.items():
        variable = PREFIX + name.upper()
        text = os.environ.get(variable, "")
        if text and name not in TABLES:
            values[name] = declared.check_value(kind, text, variable, lax=True)
    for one, profile in profiles.items():
        for name in profile.mcp if isinstance(profile.mcp, list) else ():
            declared.check_name(name, servers, "MCP server", f"[profiles.{one}]")
    return Settings(**values, profiles=profiles, mcp=servers, prices=prices, hosts=hosts)


def mcp_set(settings: Settings, profile: Profile) -> Json:
    """A profile's MCP servers, as `mcp=` takes them."""
    if isinstance(profile.mcp, list):
        return {name: settings.mcp[name] for name in profile.mcp}
    return profile.mcp or {}


def _beside(servers: Json, folder: Path) -> Json:
    """The servers with their programs, and files among their arguments, that lie beside the
    settings as absolute paths: an agent works elsewhere."""

    def absolute(word: Any) -> Any:
        path = os.path.join(folder, word) if isinstance(word, str) else ""
        return path if os.path.isfile(path) else word

    found: Json = {}
    for name, given in servers.items():
        table = declared.table_of(given)
        command = table.get("command")
        if isinstance(command, str) and os.sep in command:
            table = {**table, "command": str(folder / Path(command).expanduser())}
        if isinstance(table.get("args"), list):
            table = {**table, "args": [absolute(word) for word in table["args"]]}
        found[name] = table or given
    return found


def files(project: Path) -> list[ConfigFile]:
    """The settings files that there are, the user's first. UsageProblem for a broken one."""
    found: list[ConfigFile] = []
    places: list[tuple[Literal["user", "project"], Path]] = [
        ("user", user_folder() / "config.toml"),
        ("project", project / PROJECT_FILE),
    ]
    for source, path in places:
        try:
            content = path.read_bytes()
            table = tomllib.loads(content.decode())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise UsageProblem(f"{path} cannot be read: {error.strerror}") from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise UsageProblem(f"{path} is not valid TOML: {error}") from None
        trusted = source == "user" or not asks_for_trust(table) or is_trusted(path, content)
        found.append(ConfigFile(path, source, table, trusted))
    return found


def asks_for_trust(table: Json) -> list[str]:
    """What a project file wants that only a trusted one may, in words; [] for a harmless file."""
    names = ", ".join(declared.table_of(table.get("providers")))
    return ([f"names commands (providers: {names})"] if names else []) + _loosens(table)


def _loosens(table: Json) -> list[str]:
    """The settings of a table that decide what is executed without a question, in words."""
    wants: list[str] = []
    if "agents_path" in table:
        wants.append("says where to find programs (agents_path)")
    if "mcp" in table:
        wants.append("names MCP servers to start or to speak with (mcp)")
    if "hosts" in table:
        wants.append("names machines to send work and tokens to (hosts)")
    if table.get("mode") == "auto":
        wants.append('lets agents run commands unasked (mode = "auto")')
    for name, profile in declared.table_of(table.get("profiles")).items():
        if declared.table_of(profile).get("mode") == "auto":
            wants.append(f'lets agents run commands unasked (mode = "auto" of @{name})')
        if isinstance(declared.table_of(profile).get("mcp"), dict):
            wants.append(f"names MCP servers to start or to speak with (mcp of @{name})")
    return wants


def unknown_variables() -> dict[str, str]:
    """`PASEO_NB_…` variables that mean nothing here, each with a hint."""
    known = [PREFIX + name.upper() for name in (*declared.kinds(Settings), *VARIABLES)]
    strange = (name for name in os.environ if name.startswith(PREFIX) and name not in known)
    return {name: declared.nearest(name, known) for name in strange}


# ---------------------------------------------------------------- docs/settings.md

_INTRO = f"""# Settings

Made by `python -m paseo_nb.config > docs/settings.md`; a test holds it to the code.

The environment goes over the project's `{PROJECT_FILE}`, that over the user's
`~/.config/paseo_nb/config.toml` (`XDG_CONFIG_HOME` is respected), that over the defaults.
Times are in seconds. `"none"` stands for no value.

```toml
# {PROJECT_FILE}
agent = "opencode/anthropic/claude-sonnet-4-5"
silence = "none"

[profiles.planner]
agent = "gemini/gemini-2.5-pro"
mode = "read"
```
"""
_MCP = """## `[mcp.NAME]`

An MCP server: a `command` with `args` and `env` (files beside the settings may be relative), or a
`url` with `headers` (and `type`: `http`, the default, or `sse`). `${VAR}` in any of them takes a
value from your environment when an agent starts. `mcp=` of a launch goes over the profile's, name
by name.

What may be a key and stands there as it is never gets into a run's files either: any header's value
of 8 characters and more (but of `Accept`, `Content-Type`, `User-Agent` and such), and, by their
names (auth, key, token, secret, password, credential, cookie, session), shorter headers, variables
in `env`, options in `args` and parts of a `url`, and a password in one. A key under another name
belongs into `${VAR}`. Whoever goes on with such a run from another process must have the key in the
variable that is then named; what stands in the settings is found there.

```toml
[mcp.docs]
url = "https://docs.example/mcp"
headers = { Authorization = "Bearer ${DOCS_KEY}" }

[mcp.tests]
command = "python"
args = ["tools/test_server.py"]

[profiles.planner]
agent = "claude/opus"
mode = "read"
mcp = ["docs"]
```
"""
_PRICES = """## `[prices."MODEL"]`

What a model costs in US dollars per million tokens, where the bundled table (genai-prices) has it
wrong or not at all. `*` stands for anything; a name goes before those with it, of these the first
that fits counts.

```toml
[prices."deepseek-chat"]
input = 0.28
output = 0.42
cache_read = 0.028

[prices."claude/*"]
subscription = true
```
"""
_HOSTS = """## `[hosts.NAME]`

Another machine whose Jupyter Server has paseo_nb ([hosts.md](hosts.md)).

```toml
[hosts.workstation]
url = "https://workstation:8888/"
token = "${WORKSTATION_TOKEN}"
```
"""
_PROVIDERS = """## `[providers.NAME]`

A provider of your own, or a built-in one with something changed. `paseo.register_provider` makes
one for the present process.

```toml
[providers.mine]
command = ["python", "my_agent.py"]
env = { MY_KEY = "${MY_KEY}" }
```
"""
_TRUST = f"""## Trust

A project's `{PROJECT_FILE}` comes with a clone. If it names commands (`providers`, `agents_path`)
or servers (`mcp`), or lets agents run commands unasked (`mode = "auto"`), that counts only after
you have read it and said `%paseo trust PATH` or `paseo-nb trust PATH`; a changed file asks again.
What you trusted is kept in `~/.config/paseo_nb/trusted.json`. Your own file and `register_provider`
need no trust.
"""


def page() -> str:
    """The text of docs/settings.md."""
    from .drivers.provider import ProviderTable

    settings_rows: list[tuple[str, ...]] = [
        ("setting", "environment", "type", "default", "meaning")
    ]
    for name, kind, default, meaning in declared.rows(Settings):
        variable = "" if name in TABLES else f"`{PREFIX}{name.upper()}`"
        settings_rows.append((f"`{name}`", variable, declared.describe(kind), default, meaning))
    variables = [(f"`{PREFIX}{name}`", meaning) for name, meaning in VARIABLES.items()]
    return "\n".join(
        [
            _INTRO,
            declared.markdown(settings_rows),
            "## Only in the environment\n",
            declared.markdown([("variable", "meaning"), *variables]),
            "## `[profiles.NAME]`\n\n`@NAME` stands wherever an agent does.\n",
            declared.markdown(declared.key_rows(Profile)),
            _MCP,
            _PRICES,
            declared.markdown(declared.key_rows(Price)),
            _HOSTS,
            declared.markdown(declared.key_rows(HostEntry)),
            _PROVIDERS,
            declared.markdown(declared.key_rows(ProviderTable)),
            _TRUST,
        ]
    )


if __name__ == "__main__":
    print(page().rstrip("\n"))
