"""A stand-in for the model's API on loopback: it makes the client use one tool, and keeps the requests."""

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

_PATIENCE = 60
"""The most uses of a tool in one session."""


class ModelApi:
    """Serves the messages API; `requests` are the bodies it received.

    It asks the client to use its `tool` with the arguments `given`. Until the client offers that tool, it makes the
    client wait in its Bash tool.
    """

    def __init__(self, given: Mapping[str, object], tool: str = "Bash") -> None:
        self._tool = tool
        self._given = given
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
        """Return the results of the client's tools, as the model received them."""
        told = []
        for body in self.requests:
            for message in json.loads(body).get("messages", []):
                blocks = message["content"] if isinstance(message["content"], list) else []
                told += [str(block["content"]) for block in blocks if block.get("type") == "tool_result"]
        return told

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask for the tool if the client offers it and has not used it yet; otherwise answer with a word."""
        tools = {tool.get("name") for tool in request.get("tools", [])}
        uses = [use for message in request["messages"] for use in _uses(message)]
        content: dict[str, object]
        if "Bash" in tools and self._tool not in uses and len(uses) < _PATIENCE:
            ready = self._tool in tools
            given = self._given if ready else {"command": "sleep 1", "description": "as asked"}
            name = self._tool if ready else "Bash"
            content, stop = {"type": "tool_use", "id": f"toolu_{len(uses)}", "name": name, "input": given}, "tool_use"
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


def _uses(message: Mapping[str, Any]) -> list[str]:
    blocks = message["content"] if isinstance(message["content"], list) else []
    return [block["name"] for block in blocks if block.get("type") == "tool_use"]


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
