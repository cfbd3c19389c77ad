"""Is a port free, does a server answer: what the supervisor asks before and while it starts things."""

import asyncio
import errno
import json
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import aiohttp

from sandbox.children import SandboxError


def taken(port: int) -> bool:
    """Also on ::1, to which `localhost` may lead first: a stranger there would be spoken to in our stead."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
    return False


def require_free(ports: Mapping[str, int], *, patience: float = 1.0) -> None:
    """`patience`: the children of a sandbox that was killed a moment ago are still letting go of their ports."""
    end = time.monotonic() + patience
    while in_use := [(name, port) for name, port in ports.items() if taken(port)]:
        if time.monotonic() > end:
            name, port = in_use[0]
            others = f" (so are {len(in_use) - 1} more of its ports: is it running already?)" if len(in_use) > 1 else ""
            raise SandboxError(f"port {port}, which the sandbox needs for {name}, is in use{others}")
        time.sleep(0.1)


async def listening(port: int) -> None:
    """Returns as soon as something accepts connections on `port`."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            await writer.wait_closed()
            return


def get(url: str, trust: ssl.SSLContext) -> tuple[int, str]:
    """Status and body; status 0 and the error when nobody answers. Proxies of this machine are not asked."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
    try:
        with opener.open(url, timeout=10) as response:
            return response.status, response.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")
    except OSError as error:
        return 0, str(error)


async def answers(url: str, trust: ssl.SSLContext, *, within: float) -> None:
    """Returns as soon as `url` answers 200."""
    end = time.monotonic() + within
    while True:
        status, body = await asyncio.to_thread(get, url, trust)
        if status == 200:
            return
        if time.monotonic() > end:
            raise SandboxError(f"{url} did not become ready in {within:.0f} s; its last answer: {status} {brief(body)}")
        await asyncio.sleep(0.1)


def brief(body: str) -> str:
    try:
        return json.dumps(json.loads(body))[:1000]
    except ValueError:
        return " ".join(body.split())[:1000]


async def functions(host: str, master_key: str) -> dict[str, dict[str, Any]]:
    """The trigger of each function that the host runs, by the function's name."""
    url, headers = f"{host}/admin/functions", {"x-functions-key": master_key}
    async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as answer:
        listed = await answer.json()
    return {each["name"]: each["config"]["bindings"][0] for each in listed}
