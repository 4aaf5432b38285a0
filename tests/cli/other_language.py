"""A server for calls that has nothing of this package, as one in another language has not."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

SESSION = {"type": "realtime", "model": "gpt-realtime-2.1", "instructions": "Be brief."}


@dataclass
class OtherServer:
    """What it does, and its URL. The defaults are those of a server without mistakes."""

    base_url: str
    secret: str
    key: str = "sk-emulator"
    path: str = "/hooks/openai"
    session: dict[str, Any] = field(default_factory=lambda: dict(SESSION))
    accepts: bool = True
    events: tuple[dict[str, Any], ...] = ({"type": "response.create"},)
    hangs_up: bool = False
    checks_signature: bool = True
    url: str = ""
    calls: list[threading.Thread] = field(default_factory=list)

    def signed(self, headers: Any, body: bytes) -> bool:
        text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        signature = "v1," + base64.b64encode(hmac.digest(key, text, hashlib.sha256)).decode()
        return signature in headers["webhook-signature"].split(" ")

    def answer(self, call_id: str) -> None:
        """Decide, attach, and talk until the socket closes."""
        if not self.accepts or not self.post(call_id, "accept", self.session):
            self.post(call_id, "reject", {"status_code": 486})
            return
        headers = {"authorization": f"Bearer {self.key}"}
        address = self.base_url.replace("http", "ws", 1)
        with connect(f"{address}/realtime?call_id={call_id}", additional_headers=headers, proxy=None) as socket:
            try:
                for event in self.events:
                    socket.send(json.dumps(event))
                for message in socket:
                    if self.hangs_up and json.loads(message)["type"] == "output_audio_buffer.stopped":
                        self.post(call_id, "hangup", None)
            except ConnectionClosed:
                pass

    def post(self, call_id: str, action: str, body: Any) -> bool:
        request = urllib.request.Request(
            f"{self.base_url}/realtime/calls/{call_id}/{action}",
            data=b"" if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {self.key}", "content-type": "application/json"},
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return False


@contextmanager
def other_server(**options: Any) -> Iterator[OtherServer]:
    """Serve on a thread until the block is left."""
    here = OtherServer(**options)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.reply(self.status(body))

        def status(self, body: bytes) -> int:
            if self.path != here.path:
                return 404
            if here.checks_signature and not here.signed(self.headers, body):
                return 400
            call = threading.Thread(target=here.answer, args=(json.loads(body)["data"]["call_id"],))
            here.calls.append(call)
            call.start()
            return 200

        def reply(self, status: int) -> None:
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    here.url = f"http://127.0.0.1:{server.server_port}{here.path}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield here
    finally:
        server.shutdown()
        thread.join()
        for call in here.calls:
            call.join()
        server.server_close()
