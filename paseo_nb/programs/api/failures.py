"""What went wrong with a model call, as an error of `session/prompt` that says cause and remedy."""

from __future__ import annotations

from typing import Any

from pydantic_ai import exceptions as said

from ..common.errors import RpcError
from ..common.value import as_dict
from .endpoints import Endpoint

# The causes, by their JSON-RPC codes; `data.cause` has the name.
CODES = {
    "no_endpoint": -32010,
    "auth": -32011,
    "rate_limit": -32012,
    "quota": -32013,
    "server_error": -32014,
    "unreachable": -32015,
    "timeout": -32016,
    "context_overflow": -32017,
    "model_not_found": -32018,
    "rejected": -32019,
    "bad_answer": -32020,
    "mcp": -32021,
    "disconnected": -32022,
}
_AGAIN = (said.ModelRateLimitError, said.ModelServerError, said.ModelUnavailableError)


def failure(cause: str, message: str, hint: str = "", **more: Any) -> RpcError:
    """An error with its cause."""
    data = {"cause": cause, "hint": hint or None, **more}
    return RpcError(CODES[cause], message, {k: v for k, v in data.items() if v is not None})


def worth_another_try(error: BaseException) -> bool:
    """Whether the same request may succeed in a moment (HTTP 429 and 5xx)."""
    return isinstance(error, _AGAIN)


def explain(error: Exception, endpoint: Endpoint) -> RpcError:
    """The error of a model call, for the client."""
    where: dict[str, Any] = {"model": endpoint.model, "address": endpoint.url}
    status = error.status_code if isinstance(error, said.ModelHTTPError) else None
    if status is not None:
        where["status"] = status
    text = _text(error)
    asked = f"{endpoint.model} at {endpoint.url}"
    http = f" (HTTP {status})" if status is not None else ""
    match error:
        case said.ModelContextWindowExceededError():
            hint = "Start a new session, or choose a model with a larger context."
            message = f"the conversation is too long for {asked}: {text}"
            return failure("context_overflow", message, hint, **where)
        case said.ModelAuthenticationError():
            what = "the key of" if endpoint.key else "a request without a key; set"
            message = f"{endpoint.url} refused {what} {endpoint.key_variable}{http}: {text}"
            return failure("auth", message, f"Check {endpoint.key_variable}.", **where)
        case said.ModelNotFoundError():
            hint = f"Check the model's name, and {endpoint.url_variable}."
            return failure("model_not_found", f"{asked} was not found{http}: {text}", hint, **where)
        case said.ModelQuotaExceededError():
            return failure("quota", f"{asked}: the quota is used up{http}: {text}", **where)
        case said.ModelRateLimitError():
            return failure("rate_limit", f"{asked} is rate limited{http}: {text}", **where)
        case said.ModelTimeoutError() | said.ModelRequestTimeout():
            return failure("timeout", f"{asked} did not answer in time: {text}", **where)
        case said.ModelConnectionError() if error.phase == "read":
            hint = "Its answer was cut off on its way: send again."
            return failure("disconnected", f"{asked} broke off: {text}", hint, **where)
        case said.ModelConnectionError():
            hint = f"Start the model server, or set {endpoint.url_variable} to its address."
            return failure("unreachable", f"{asked} could not be reached: {text}", hint, **where)
        case said.ModelServerError() | said.ModelUnavailableError():
            return failure("server_error", f"{asked} failed{http}: {text}", **where)
        case said.ModelAPIError():
            return failure("rejected", f"{asked} rejected the request{http}: {text}", **where)
        case said.UnexpectedModelBehavior():
            return failure("bad_answer", f"{asked} gave no readable answer: {text}", **where)
        case _:
            return failure(
                "bad_answer", f"{asked}: {type(error).__name__}: {error}"[:4_000], **where
            )


def _text(error: Exception) -> str:
    """The provider's own words, where there are any."""
    body = getattr(error, "body", None)
    found = as_dict(body)
    inner = as_dict(found.get("error"))
    words = inner.get("message") or found.get("message") or found.get("error")
    if isinstance(words, str) and words:
        return words[:2_000]
    if isinstance(body, str) and body:
        return body[:2_000]
    return str(getattr(error, "message", error))[:2_000]
