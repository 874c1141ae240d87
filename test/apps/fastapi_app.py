"""The FastAPI app of test/real: what an API in front of real users does, small enough to read. Runs under Uvicorn and
Hypercorn (python3 -m uvicorn fastapi_app:app). Nothing of the gateway is in it."""

import asyncio
import hashlib
import json
import os
import sys
import time
from typing import AsyncIterator, List, Optional

from fastapi import FastAPI, HTTPException, Query, Request, Response, WebSocket, WebSocketDisconnect
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

app = FastAPI()

CHUNK = 64 * 1024
# A file that clients fetch in ranges; every 8 bytes say where they are.
FILE = b"".join(b"%07d\n" % n for n in range(128 * 1024))
# Event streams that ended early because their client left.
ended: List[str] = []


class Item(BaseModel):
    name: str
    price: float


@app.get("/healthz")
async def healthz():
    return {"status": "ok"}


@app.get("/items/{item_id}")
async def read_item(item_id: int, q: Optional[str] = None, tag: List[str] = Query(default=[])):
    return {"item_id": item_id, "q": q, "tags": tag}


@app.post("/items", status_code=201)
async def create_item(item: Item):
    return item


@app.get("/v1/catalog/items/{name}")
async def catalog_item(name: str):
    """Says nothing about caching, as FastAPI does by default."""
    return {"name": name, "made_by": os.getpid(), "made_at": time.time()}


@app.get("/whoami")
async def whoami(request: Request):
    return {
        "pid": os.getpid(),
        "server": "hypercorn" if "hypercorn" in sys.modules else "uvicorn",
        "client": request.client.host if request.client else "",
        "scheme": request.url.scheme,
        "headers": dict(request.headers),
    }


# How often each id was counted.
counts: dict = {}


@app.post("/count/{name}")
async def count(name: str, ms: int = 0):
    counts[name] = counts.get(name, 0) + 1
    await asyncio.sleep(ms / 1000)
    return {"count": counts[name]}


@app.get("/counts")
async def read_counts():
    return {"ids": len(counts), "most": max(counts.values(), default=0)}


@app.get("/slow")
async def slow(ms: int):
    await asyncio.sleep(ms / 1000)
    return {"ms": ms}


@app.post("/upload")
async def upload(request: Request):
    """Reads the body as it comes and keeps none of it."""
    digest = hashlib.sha256()
    size = 0
    async for chunk in request.stream():
        digest.update(chunk)
        size += len(chunk)
    return {"bytes": size, "sha256": digest.hexdigest()}


def numbered_chunks(size: int):
    for at in range(0, size, CHUNK):
        yield (b"%015d\n" % at * (CHUNK // 16))[: min(CHUNK, size - at)]


@app.get("/download")
async def download(size: int = Query(alias="bytes")):
    async def body() -> AsyncIterator[bytes]:
        for chunk in numbered_chunks(size):
            yield chunk

    return StreamingResponse(body(), media_type="application/octet-stream")


@app.get("/download/sha256")
async def download_sha256(size: int = Query(alias="bytes")):
    digest = hashlib.sha256()
    for chunk in numbered_chunks(size):
        digest.update(chunk)
    return Response(digest.hexdigest(), media_type="text/plain")


@app.get("/sse")
async def sse(events: int, every_ms: int, name: str = Query(default="", alias="id")):
    async def body() -> AsyncIterator[str]:
        try:
            for n in range(events):
                if n > 0:
                    await asyncio.sleep(every_ms / 1000)
                yield "data: %s\n\n" % json.dumps({"n": n, "sent_ms": time.time() * 1000})
        except (asyncio.CancelledError, GeneratorExit):
            ended.append(name)
            raise

    return StreamingResponse(body(), media_type="text/event-stream", headers={"cache-control": "no-cache"})


@app.get("/sse/ended")
async def sse_ended(name: str = Query(alias="id")):
    return name in ended


@app.get("/file")
async def file(request: Request):
    """One range of a file, or all of it (Debian's Starlette serves no ranges by itself)."""
    headers = {"accept-ranges": "bytes", "etag": '"file-1"'}
    wanted = request.headers.get("range")
    if wanted is None:
        return Response(FILE, media_type="text/plain", headers=headers)
    first_text, _, last_text = wanted.partition("=")[2].partition("-")
    first = int(first_text)
    last = min(int(last_text) if last_text else len(FILE) - 1, len(FILE) - 1)
    if first > last:
        raise HTTPException(416, headers={"content-range": f"bytes */{len(FILE)}"})
    headers["content-range"] = f"bytes {first}-{last}/{len(FILE)}"
    return Response(FILE[first : last + 1], status_code=206, media_type="text/plain", headers=headers)


@app.websocket("/ws")
async def echo(socket: WebSocket):
    await socket.accept()
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                break
            if message.get("text") is not None:
                await socket.send_text(message["text"])
            else:
                await socket.send_bytes(message["bytes"])
    except WebSocketDisconnect:
        pass
