"""What stands between a client and a service: an end of TLS, and a proxy. On loopback, on the running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

Head = tuple[str, str, dict[str, str]]
"""A request's method and target, and its headers with names in lower case."""


class Authority:
    """An authority of a company, and a server's certificate that it has signed."""

    def __init__(self, folder: Path) -> None:
        self.pem = folder / "ca.pem"
        extensions = folder / "extensions"
        extensions.write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")

        def openssl(*arguments: str) -> None:
            subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

        new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        usage = ("-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
        openssl(*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=A Company", *usage)
        openssl(*new, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=127.0.0.1")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "extensions")
        openssl("x509", "-req", "-in", "server.csr", "-out", "server.pem", *signing)
        self.serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.serving.load_cert_chain(folder / "server.pem", folder / "server.key")

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.pem))


class Front:
    """Passes connections on to the service, whatever host they name, and keeps the heads of the requests.

    Args:
        service: The URL of the service.
        refuse: As a proxy, answer each request with this status.
    """

    def __init__(self, service: str, *, refuse: int | None = None) -> None:
        parts = urlsplit(service)
        self._service = parts.hostname, parts.port
        self.refuse = refuse
        self.heads: list[Head] = []
        self.port = 0

    @asynccontextmanager
    async def running(self, *, ssl: ssl.SSLContext | None = None) -> AsyncIterator[Front]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=ssl)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    @property
    def seen(self) -> list[str]:
        """The last part of each request's path, or the method of what asks for a tunnel."""
        return [method if method == "CONNECT" else urlsplit(to).path.rpartition("/")[2] for method, to, _ in self.heads]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            method, target, _ = lines[0].split(" ")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:] if line)}
            self.heads.append((method, target, headers))
            if self.refuse is not None:
                writer.write(
                    f"HTTP/1.1 {self.refuse} Refused\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
                )
            else:
                await self._pass_on(head, method, target, headers, reader, writer)
        writer.close()

    async def _pass_on(
        self,
        head: bytes,
        method: str,
        target: str,
        headers: dict[str, str],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        there, onward = await asyncio.open_connection(*self._service)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Tunnel\r\n\r\n")
        else:
            parts = urlsplit(target)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            head = head.replace(f" {target} ".encode(), f" {path} ".encode(), 1)
            if "upgrade" not in headers:  # each request has a connection of its own, so that each head is seen
                head = head.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
            onward.write(head)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pump(reader, onward), pump(there, writer))
