"""The example of a page that talks by WebRTC: its server, and the page in a browser, as far as no media is needed."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import uvicorn

from browser import browser
from realtime_sip import AsyncRealtimeSip
from realtime_sip.testing import OpenAIEmulator

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "webrtc_page"
OFFER = "\r\n".join(
    (
        *("v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE 0 1"),
        *("m=audio 9 UDP/TLS/RTP/SAVPF 111 63", "a=mid:0", "a=rtpmap:111 opus/48000/2"),
        *("m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:1", ""),
    )
)


def page_server() -> ModuleType:
    spec = importlib.util.spec_from_file_location("page_server", FOLDER / "page_server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Log(logging.Handler):
    """What the server has logged."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self._waiting: list[tuple[str, asyncio.Event]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.text += f"{record.getMessage()}\n"
        for words, there in self._waiting:
            if words in self.text:
                there.set()

    async def until(self, words: str) -> None:
        """Wait until the server has logged something."""
        there = asyncio.Event()
        self._waiting.append((words, there))
        if words not in self.text:
            async with asyncio.timeout(30):
                await there.wait()


class Shop:
    """The emulator, a client, the server of the page, and what it logs."""

    def __init__(self, openai: OpenAIEmulator, client: AsyncRealtimeSip, url: str, log: Log) -> None:
        self.openai, self.client, self.url, self.log = openai, client, url, log


@pytest.fixture
async def shop() -> AsyncIterator[Shop]:
    log, logger = Log(), logging.getLogger("page")
    logger.setLevel(logging.INFO)
    logger.addHandler(log)
    async with OpenAIEmulator(strict=False) as openai, AsyncRealtimeSip(**openai.client_options) as client:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            app = page_server().create_app(client)
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
            task = asyncio.create_task(server.serve(sockets=[listening]))
            try:
                yield Shop(openai, client, f"http://127.0.0.1:{listening.getsockname()[1]}", log)
            finally:
                server.should_exit = True
                await task
                logger.removeHandler(log)


async def test_a_call_is_started_with_the_key_and_followed_to_its_end(shop: Shop) -> None:
    async with httpx.AsyncClient(base_url=shop.url, trust_env=False) as page:
        assert "RTCPeerConnection" in (await page.get("/")).text
        given: dict[str, Any] = (await page.post("/key")).json()
        assert given["key"].startswith("ek_")
        assert given["url"] == f"{shop.openai.base_url}/realtime/calls"
        headers = {"Authorization": f"Bearer {given['key']}", "Content-Type": "application/sdp", "Origin": shop.url}
        answer = await page.post(given["url"], content=OFFER, headers=headers)
        assert answer.status_code == 201
        assert answer.headers["access-control-expose-headers"] == "location"
        assert [line for line in answer.text.splitlines() if line.startswith(("m=", "a="))] == [
            *("m=audio 0 UDP/TLS/RTP/SAVPF 111 63", "a=mid:0"),
            *("m=application 0 UDP/DTLS/SCTP webrtc-datachannel", "a=mid:1"),
        ]
        call_id = answer.headers["location"].rpartition("/")[2]
        started = {"ticket": given["ticket"], "call_id": call_id}
        assert (await page.post("/started", json=started)).status_code == 204
        await shop.log.until(f"call {call_id}: followed")
        assert (await page.post("/started", json=started)).status_code == 403  # a ticket is good for one call
    await shop.client.calls.hangup(call_id)
    await shop.log.until(f"call {call_id}: over, normal (1000)")


@pytest.mark.parametrize("call_id", ["", "live_1", "rtc_1/../x", "rtc_" + "1" * 101])
async def test_a_call_without_a_ticket_or_with_an_impossible_id_is_not_followed(shop: Shop, call_id: str) -> None:
    async with httpx.AsyncClient(base_url=shop.url, trust_env=False) as page:
        ticket = (await page.post("/key")).json()["ticket"]
        for given in ({"ticket": "x", "call_id": "rtc_1"}, {"ticket": ticket, "call_id": call_id}):
            assert (await page.post("/started", json=given)).status_code == 403


async def test_a_call_that_is_not_there_is_a_warning_without_its_key(shop: Shop) -> None:
    async with httpx.AsyncClient(base_url=shop.url, trust_env=False) as page:
        ticket = (await page.post("/key")).json()["ticket"]
        await page.post("/started", json={"ticket": ticket, "call_id": "rtc_gone"})
    await shop.log.until("call rtc_gone: not followed any more")


async def test_the_preflight_of_a_browser_is_answered(shop: Shop) -> None:
    async with httpx.AsyncClient(trust_env=False) as page:
        answer = await page.options(f"{shop.openai.base_url}/realtime/calls", headers={"Origin": shop.url})
    assert answer.status_code == 204
    assert "authorization" in answer.headers["access-control-allow-headers"]


@pytest.mark.pages
async def test_the_page_talks_in_a_browser_as_far_as_no_media_is_needed(shop: Shop) -> None:
    def talk() -> tuple[str, list[str], list[str]]:
        with browser() as page:
            page.open(shop.url)
            page.evaluate("document.getElementById('talk').click()")
            state = "document.getElementById('state').textContent"
            page.evaluate(
                f"new Promise(done => {{ const look = () => /In call|did not/.test({state}) ? done() : "
                "setTimeout(look, 20); look(); })"
            )
            in_call = page.evaluate(state)
            page.evaluate("document.getElementById('stop').click()")
            assert page.evaluate(state) == "The call is over."
            return in_call, page.requests, page.complaints

    in_call, requests, complaints = await asyncio.to_thread(talk)
    assert in_call.startswith("In call rtc_"), in_call
    call_id = in_call.removeprefix("In call ").partition(".")[0]
    await shop.log.until(f"call {call_id}: followed")
    assert [url.removeprefix(shop.url) for url in requests if url.startswith(shop.url)] == ["/", "/key", "/started"]
    assert f"{shop.openai.base_url}/realtime/calls" in requests
    assert complaints == []
    await shop.client.calls.hangup(call_id)
    await shop.log.until(f"call {call_id}: over")
