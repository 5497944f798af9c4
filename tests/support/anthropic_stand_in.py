"""A stand-in for the model's API on loopback: it makes the client use tools in turn, and keeps the requests."""

import json
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

_PATIENCE = 60
"""The most times that the client waits for a tool in one session."""


class Use(NamedTuple):
    """A tool, and the arguments with which the client uses it."""

    tool: str
    given: Mapping[str, object]


def bash(command: str) -> Use:
    return Use("Bash", {"command": command, "description": "as asked"})


class ModelApi:
    """Serves the messages API; `requests` are the bodies it received.

    It asks the client for all `uses`, one after the other in one session. Until the client offers a tool, it makes the
    client wait in its Bash tool.
    """

    def __init__(self, uses: Sequence[Use]) -> None:
        self._uses = uses
        self.requests: list[bytes] = []
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def results(self) -> list[str]:
        """Return the result of each use, as the model received it."""
        told = {block["tool_use_id"]: str(block["content"]) for block in self._blocks() if block.get("tool_use_id")}
        return [told[each] for each in map(id_of, range(len(self._uses))) if each in told]

    def told_after(self, number: int) -> str:
        """Return all that the model was told between use `number` and its next answer, as JSON."""
        for body in self.requests:
            messages = json.loads(body).get("messages", [])
            asked = [at for at, message in enumerate(messages) if message["role"] == "assistant"]
            if asked and id_of(number) in _uses(messages[asked[-1] :]):
                return json.dumps(messages[asked[-1] + 1 :], ensure_ascii=False)
        return ""

    def _blocks(self) -> list[dict[str, Any]]:
        return [block for body in self.requests for block in _blocks(json.loads(body).get("messages", []))]

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask for the next use if the client offers its tool; answer with a word after the last use."""
        tools = {tool.get("name") for tool in request.get("tools", [])}
        used = _uses(request["messages"])
        done = sum(id_of(number) in used for number in range(len(self._uses)))
        waits = len(used) - done
        content: dict[str, object]
        if "Bash" in tools and done < len(self._uses) and waits < _PATIENCE:
            ready = self._uses[done].tool in tools
            name, given = self._uses[done] if ready else bash("sleep 1")
            each = id_of(done) if ready else f"toolu_wait_{waits}"
            content, stop = {"type": "tool_use", "id": each, "name": name, "input": given}, "tool_use"
        else:
            content, stop = {"type": "text", "text": "done"}, "end_turn"
        return {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": request.get("model", ""),
            "content": [content],
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }


def id_of(number: int) -> str:
    """Return the id of a use."""
    return f"toolu_{number}"


def _blocks(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [block for message in messages if isinstance(message["content"], list) for block in message["content"]]


def _uses(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the ids of the uses of tools."""
    return [block["id"] for block in _blocks(messages) if block.get("type") == "tool_use"]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: ModelApi

    def do_GET(self) -> None:
        self._reply(b"{}", "application/json")

    def do_HEAD(self) -> None:
        self._reply(b"{}", "application/json")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not self.path.startswith("/v1/messages") or "count_tokens" in self.path:
            self._reply(b'{"input_tokens": 1}', "application/json")
            return
        self.api.requests.append(body)
        request = json.loads(body)
        message = self.api.answer(request)
        if request.get("stream"):
            self._reply("".join(_event(*event) for event in _stream(message)).encode(), "text/event-stream")
        else:
            self._reply(json.dumps(message).encode(), "application/json")

    def log_message(self, *_: object) -> None:
        pass

    def _reply(self, data: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _stream(message: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    (block,) = message["content"]
    empty: dict[str, object]
    if block["type"] == "text":
        empty, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": block["text"]}
    else:
        empty = {**block, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
    return [
        ("message_start", {"message": {**message, "content": [], "stop_reason": None}}),
        ("content_block_start", {"index": 0, "content_block": empty}),
        ("content_block_delta", {"index": 0, "delta": delta}),
        ("content_block_stop", {"index": 0}),
        ("message_delta", {"delta": {"stop_reason": message["stop_reason"]}, "usage": {"output_tokens": 1}}),
        ("message_stop", {}),
    ]


def _event(name: str, data: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n"
