"""MLflow's own server takes our traces: the tree, kinds, tokens and errors are what it then tells."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from paseo_nb.tracing import otel


@pytest.fixture
def mlflow(tmp_path: Path) -> Iterator[str]:
    """The address of an MLflow server on SQLite."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    env = {
        **os.environ,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # what `mlflow server` sets for the process that it starts
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{tmp_path}/mlflow.db",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": str(tmp_path / "artifacts"),
    }
    command = [sys.executable, "-m", "uvicorn", "mlflow.server.fastapi_app:app", "--port", port]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def asked(address: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def named(span: Any) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}


def test_mlflow_takes_a_trace_and_tells_it_again(tale: Any, mlflow: str) -> None:
    one = tale(model="opus").begin("a prompt", 0).model("m1", 0, 1, 1000, 50, read=900)
    one.tool("a", 1, None).ask("a", 1.5, 2).done("a", 3, "failed", "exit code 1")
    root = one.model("m2", 3, 4, 1100, 20, read=1000).end(at=4).tree()
    spans = otel.spans_of(root, content=True)
    assert otel.send(spans, mlflow, "1", {"x-mlflow-experiment-id": "0"}) == 6

    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": "0"}}
    (info,) = asked(f"{mlflow}/api/3.0/mlflow/traces/search", {"locations": [place]})["traces"]
    used = json.loads(info["trace_metadata"]["mlflow.trace.tokenUsage"])
    assert (used["input_tokens"], used["output_tokens"]) == (2100, 70)  # counted once
    assert used["cache_read_input_tokens"] == 1900
    assert info["execution_duration"] in ("4s", "4.0s")
    found = asked(f"{mlflow}/api/3.0/mlflow/traces/get?trace_id={info['trace_id']}")["trace"][
        "spans"
    ]
    kinds = {span["name"]: named(span).get("mlflow.spanType", "").strip('"') for span in found}
    assert kinds["invoke_agent claude/opus"] == "AGENT"
    assert kinds["chat opus-5"] == "CHAT_MODEL"
    assert kinds["execute_tool Bash"] == "TOOL"
    above = {span["name"]: span.get("parent_span_id") for span in found}
    ids = {span["name"]: span["span_id"] for span in found}
    assert not above["invoke_agent claude/opus"]
    assert above["turn"] == ids["invoke_agent claude/opus"]
    assert above["execute_tool Bash"] == above["chat opus-5"] == ids["turn"]
    assert base64.b64decode(ids["turn"]).hex() in {one["spanId"] for one in otel.spans_of(root)}
    tool = next(span for span in found if span["name"] == "execute_tool Bash")
    assert tool["status"]["code"] == "STATUS_CODE_ERROR"
    assert "command" in str(named(tool)["gen_ai.tool.call.arguments"])
