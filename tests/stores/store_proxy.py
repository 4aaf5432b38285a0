"""What stands between a store and its server, and can be slow, silent, gone or out of its mind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit


class Proxy:
    """Passes bytes on to a server on this machine, as long and as fast as it is told to.

    Attributes:
        url: The server's URL, with the proxy's port.
        delay: Seconds for which each piece is held up, in both directions.
        passing: Cleared, nothing gets through, and connections stay open: a network that swallows everything.
        garbage: What clients are answered with in place of what the server says.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.port is not None
        self._host, self._port = str(parts.hostname), parts.port
        self._url = url
        self.url = ""
        self.delay = 0.0
        self.passing = asyncio.Event()
        self.passing.set()
        self.garbage = b""
        self._server: asyncio.Server | None = None
        self._at: int | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Take connections, at the same port as before."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._at or 0)
        self._at = self._server.sockets[0].getsockname()[1]
        self.url = self._url.replace(f":{self._port}/", f":{self._at}/")

    def refuse(self) -> None:
        """Take no connections any more, and reset those that are open."""
        assert self._server is not None
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Reset all connections."""
        for writer in self._open:
            writer.transport.abort()

    def half_close(self) -> None:
        """Say to all clients that nothing more will come, and go on listening to them."""
        for writer in self._open:
            with contextlib.suppress(OSError, RuntimeError):
                writer.write_eof()

    async def close(self) -> None:
        self.refuse()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            await self.passing.wait()
            answers, there = await asyncio.open_connection(self._host, self._port)
            self._open.add(there)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pass(reader, there))
                both.create_task(self._pass(answers, writer, answering=True))
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            for each in (writer, there):
                if each is not None:
                    self._open.discard(each)
                    each.transport.abort()
            self._tasks.discard(task)

    async def _pass(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answering: bool = False
    ) -> None:
        while data := await source.read(65_536):
            await asyncio.sleep(self.delay)
            await self.passing.wait()
            target.write(self.garbage if answering and self.garbage else data)
            await target.drain()
        if not answering:
            raise ConnectionResetError
        target.write_eof()


@contextlib.asynccontextmanager
async def proxy(url: str) -> AsyncIterator[Proxy]:
    """Put a proxy before a server."""
    between = Proxy(url)
    await between.listen()
    try:
        yield between
    finally:
        await between.close()
