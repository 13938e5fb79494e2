"""The schema of Codex's app-server, made by the CLI under test, and a run's lines against it."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jsonschema import Draft7Validator

from paseo_nb.model import Line

Json = dict[str, Any]
# Results whose name does not follow from the method's
RESULTS = {
    "initialize": "v1/InitializeResponse",
    "account/read": "v2/GetAccountResponse",
    "item/commandExecution/requestApproval": "CommandExecutionRequestApprovalResponse",
    "item/fileChange/requestApproval": "FileChangeRequestApprovalResponse",
    "item/permissions/requestApproval": "PermissionsRequestApprovalResponse",
    "item/tool/requestUserInput": "ToolRequestUserInputResponse",
    "mcpServer/elicitation/request": "McpServerElicitationRequestResponse",
}


class Schema:
    """Validates messages in both directions."""

    def __init__(self, codex: Path, folder: Path) -> None:
        self.folder = folder
        command = [str(codex), "app-server", "generate-json-schema", "--experimental"]
        subprocess.run(
            [*command, "--out", str(folder)], check=True, capture_output=True, env=os.environ
        )

    @functools.cache  # noqa: B019 - one schema lives as long as its test
    def _validator(self, name: str) -> Draft7Validator:
        return Draft7Validator(json.loads((self.folder / f"{name}.json").read_text()))

    def faults(self, name: str, value: Any) -> list[str]:
        """What is wrong with a value."""
        errors = self._validator(name).iter_errors(value)
        return [f"{name}: {error.message[:300]} in {json.dumps(value)[:300]}" for error in errors]

    def check(self, lines: Iterable[Line]) -> set[str]:
        """The methods that were seen, each valid; fails with what is not."""
        ours: dict[Any, str] = {}
        theirs: dict[Any, str] = {}
        seen: set[str] = set()
        faults: list[str] = []
        for line in lines:
            if line.dir == "own":
                continue
            message: Json = json.loads(bytes(line.raw))
            if "$blob" in message:
                continue
            out, method, ident = line.dir == "out", message.get("method"), message.get("id")
            if method is not None and ident is not None:
                (ours if out else theirs)[ident] = method
                faults += self.faults("ClientRequest" if out else "ServerRequest", message)
            elif method is not None:
                kind = "ClientNotification" if out else "ServerNotification"
                faults += self.faults(kind, message)
            elif "error" in message:
                faults += self.faults("JSONRPCError", message)
            else:
                method = (theirs if out else ours)[ident]
                faults += self.faults(result_of(method), message["result"])
                method = f"{method}:result"
            seen.add(method or "error")
        assert not faults, "\n".join(faults[:20])
        return seen


def result_of(method: str) -> str:
    """The schema's name of the result of a method."""
    words = method.split("/")
    name = "".join(word[0].upper() + word[1:] for word in words)
    return RESULTS.get(method, f"v2/{name}Response")
