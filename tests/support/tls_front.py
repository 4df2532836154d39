"""TLS in front of a server that has none, as the wheel's Valkey: only clients with a certificate of ours pass.

`python tls_front.py HOST PORT TARGET_PORT SECRETS` serves until it is ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import sys
from pathlib import Path


def context_of(secrets: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(secrets / "server.crt", secrets / "server.key")
    context.load_verify_locations(secrets / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def serve(host: str, port: int, target: int, secrets: Path) -> None:
    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind, to_behind = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, to_behind), pump(behind, writer))

    server = await asyncio.start_server(pass_on, host, port, ssl=context_of(secrets))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])))
