"""Where a phone finds this project: at the Jupyter servers that run here and serve it.

Every running server leaves a file that says where it listens and for which folder; whether it has
our page is asked of it, without any token. How far an address reaches is known of its host alone:
what stands before the server (a tunnel, a proxy) only its user knows, who names it then.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import json
import os
import socket
import ssl
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import msgspec

from . import config
from .errors import UsageProblem

PAGE = "paseo/"
ASK_S = 3.0
NOBODY = (
    "No Jupyter server that serves this project runs here, so there is no address yet. Start one"
    " (`paseo-nb serve`, or JupyterLab in the project's folder), and pair again; or name it: url=…"
)
_ANY = {"", "*", "0.0.0.0", "::"}


class Door(msgspec.Struct, frozen=True):
    """An address of the page, and what to say of it. reach: how far it goes, more is better."""

    url: str
    reach: int
    notes: list[str]


def doors(home: Path) -> list[Door]:
    """The addresses of a project's page, that which reaches farthest first."""
    found: dict[str, Door] = {}
    for told in _running():
        with contextlib.suppress(OSError, ValueError, KeyError, http.client.HTTPException):
            if config.home(Path(told["root_dir"])) == home and _has_page(told):
                for url in _urls(told):
                    found.setdefault(url, door_of(url))
    return sorted(found.values(), key=lambda one: -one.reach)


def named(url: str) -> Door:
    """The page at an address that a person names. UsageProblem."""
    try:
        parts = urlsplit(url.strip())
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        parts, known = urlsplit(""), False
    if not known or parts.username is not None:
        raise UsageProblem(f"url={url!r} is no address of a Jupyter server, as https://host:8888/")
    path = parts.path.removesuffix(PAGE).rstrip("/") + "/" + PAGE
    return door_of(urlunsplit((parts.scheme, parts.netloc, path, "", "")))


def door_of(url: str) -> Door:
    """What is to be said of an address."""
    parts = urlsplit(url)
    local, secure = is_loopback(parts.hostname or ""), parts.scheme == "https"
    notes: list[str] = []
    if local:
        notes.append(
            f"{parts.hostname} is this machine itself: no phone gets there. Put a tunnel or a proxy"
            " with https before the server (docs/phone.md has some), and name it: url=…"
        )
    elif not secure:
        notes.append(
            "Plain http: whoever is on the way reads the token and all that is shown, and the page"
            " cannot be installed. Give the server a certificate, or put https before it: url=…"
        )
    return Door(url, 0 if local else 2 if secure else 1, notes)


def is_loopback(name: str) -> bool:
    """Whether a host's name means the machine itself."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _running() -> list[dict[str, Any]]:
    from jupyter_core.paths import jupyter_runtime_dir

    found: list[dict[str, Any]] = []
    for path in sorted(Path(jupyter_runtime_dir()).glob("jpserver-*.json")):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            told = json.loads(path.read_text())
            os.kill(int(told["pid"]), 0)  # an OSError where its server is gone
            found.append(cast(dict[str, Any], told))
    return found


def _has_page(told: dict[str, Any]) -> bool:
    """Whether the server has our page; asked where it listens, whoever may."""
    if told.get("sock"):
        return False
    host, port = str(told["hostname"]), int(told["port"])
    host = "127.0.0.1" if host in _ANY else host
    if told.get("secure"):
        known = ssl.create_default_context()
        known.check_hostname, known.verify_mode = False, ssl.CERT_NONE  # its name is another one
        line = http.client.HTTPSConnection(host, port, timeout=ASK_S, context=known)
    else:
        line = http.client.HTTPConnection(host, port, timeout=ASK_S)
    try:
        line.request("GET", str(told["base_url"]) + PAGE + "manifest.webmanifest")
        answer = line.getresponse()
        return answer.status == 200 and json.loads(answer.read(65536)).get("id") == "paseo_nb"
    finally:
        line.close()


def _urls(told: dict[str, Any]) -> list[str]:
    base = str(told["base_url"]) + PAGE
    public = os.environ.get("JUPYTERHUB_PUBLIC_URL", "")  # told to servers of a JupyterHub
    if public and urlsplit(public).path.rstrip("/") == str(told["base_url"]).rstrip("/"):
        return [public.rstrip("/") + "/" + PAGE]
    host, port = str(told["hostname"]), int(told["port"])
    hosts = [*_own_addresses(), "127.0.0.1"] if host in _ANY else [host]
    scheme = "https" if told.get("secure") else "http"
    return [f"{scheme}://{f'[{one}]' if ':' in one else one}:{port}{base}" for one in hosts]


def _own_addresses() -> list[str]:
    """The address by which this machine is known on its network; nothing is sent for that."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("192.0.2.1", 9))  # an address of nobody's (RFC 5737)
        mine = str(sock.getsockname()[0])
        return [] if is_loopback(mine) else [mine]
    return []
