"""Stand-ins on loopback for the models' APIs of Codex and Gemini CLI. `anthropic_stand_in` has the one of Claude Code.

Each model uses the given tools, one after the other, and then says "done".
"""

import json
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Self

Uses = Sequence[tuple[str, Mapping[str, object]]]
"""The names of tools, and the arguments of each."""

_TAG = "<untrusted_context>"


class _Api:
    """`requests` are the bodies that the API received, and `address` is its URL."""

    def __init__(self, uses: Uses) -> None:
        self._uses = uses
        self.requests: list[dict[str, Any]] = []
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request: dict[str, Any]) -> str:
        """Keep a request, and return the events of the answer."""
        number = len(self.requests)
        self.requests.append(request)
        return "".join(f"data: {json.dumps(event)}\n\n" for event in self.events(number))

    def events(self, number: int) -> list[dict[str, Any]]:
        """Return the events that answer a request. Each API has its own."""
        raise NotImplementedError


class CodexModel(_Api):
    """The Responses API. The first use is one of Codex's own tools, because it waits for the server to start."""

    _PREFIX: ClassVar = "mcp__secrets"

    def __init__(self, uses: Uses) -> None:
        super().__init__([("list_mcp_resources", {"server": "secrets"}), *uses])

    def options(self) -> list[str]:
        """Return the options that lead Codex to this model."""
        provider = f'model_providers.tests={{name="tests",base_url="{self.address}/v1",wire_api="responses"}}'
        return ["-c", "model=stand-in", "-c", "model_provider=tests", "-c", provider]

    def offered(self) -> set[str]:
        """Return the names of the server's tools that Codex offers to the model."""
        groups = [tool for tool in self.requests[-1]["tools"] if tool.get("name") == self._PREFIX]
        return {tool["name"] for group in groups for tool in group["tools"]}

    def results(self) -> list[str]:
        """Return the result of each use, as the model received it, without the time that Codex adds."""
        outputs = [each["output"] for each in self.requests[-1]["input"] if each["type"] == "function_call_output"]
        texts = [output if isinstance(output, str) else output[-1]["text"] for output in outputs[1:]]
        return [text.partition("\nOutput:\n")[2] or text for text in texts]

    def events(self, number: int) -> list[dict[str, Any]]:
        item: dict[str, object]
        if number < len(self._uses):
            name, given = self._uses[number]
            item = {"type": "function_call", "id": f"use_{number}", "call_id": f"call_{number}", "name": name}
            item |= {"arguments": json.dumps(given), **({"namespace": self._PREFIX} if number else {})}
        else:
            content = [{"type": "output_text", "text": "done", "annotations": []}]
            item = {"type": "message", "id": "last", "role": "assistant", "content": content}
        used = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        return [
            {"type": "response.created", "response": {"id": f"response_{number}"}},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": {"id": f"response_{number}", "usage": used}},
        ]


class GeminiModel(_Api):
    """The Gemini API."""

    _PREFIX: ClassVar = "mcp_secrets_"

    def environment(self) -> dict[str, str]:
        """Return the variables that lead Gemini CLI to this model. Its settings must select the API key, too."""
        return {"GEMINI_API_KEY": "none", "GOOGLE_GEMINI_BASE_URL": self.address}

    def offered(self) -> set[str]:
        """Return the names of the server's tools that Gemini CLI offers to the model."""
        tools = [tool["name"] for group in self.requests[-1]["tools"] for tool in group["functionDeclarations"]]
        return {name.removeprefix(self._PREFIX) for name in tools if name.startswith(self._PREFIX)}

    def results(self) -> list[str]:
        """Return the result of each use, as the model received it, without the tags that Gemini CLI adds."""
        parts = [part for content in self.requests[-1]["contents"] for part in content["parts"]]
        answers = [part["functionResponse"]["response"] for part in parts if "functionResponse" in part]
        texts = [str(answer.get("output") or answer["error"]) for answer in answers]
        return [text.removeprefix(_TAG).removesuffix(_TAG.replace("<", "</")).strip() for text in texts]

    def events(self, number: int) -> list[dict[str, Any]]:
        part: dict[str, object] = {"text": "done"}
        if number < len(self._uses):
            name, given = self._uses[number]
            part = {"functionCall": {"name": f"{self._PREFIX}{name}", "args": given}}
        used = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
        answer = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
        return [{"candidates": [answer], "usageMetadata": used}]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: _Api

    def do_GET(self) -> None:
        self._reply(b"{}", "application/json")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        self._reply(self.api.answer(body).encode(), "text/event-stream")

    def log_message(self, *_: object) -> None:
        pass

    def _reply(self, data: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
