"""An OpenAI-compatible endpoint on loopback whose answers are a function of the request.

It counts what it was asked and what it answered in full, so that a benchmark can tell a paid call from a
repeated one. ``python benchmarks/_endpoint.py PORT SECONDS LOG`` serves until it is killed.
"""

import asyncio
import hashlib
import json
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

TEXT = (
    "answer briefly kindly the customer in one sentence with a clear next step and no jargon please thank "
    "apologise first explain what happens then offer help politely use plain words be specific and warm"
)
WORDS = TEXT.split()


def answer(body: str) -> str:
    """Eight to fifteen words drawn by the hash of the request."""
    draw = hashlib.sha256(body.encode()).digest()
    return " ".join(WORDS[byte % len(WORDS)] for byte in draw[: 8 + draw[0] % 8]).capitalize() + "."


def app(seconds: float, log: Path) -> Starlette:
    """Build the endpoint; each finished answer is one line of the log."""
    file = log.open("a")

    async def chat(request: Request) -> JSONResponse:
        body = json.dumps(await request.json(), sort_keys=True)
        key = hashlib.sha256(body.encode()).hexdigest()
        print("begin", key, file=file, flush=True)
        await asyncio.sleep(seconds)
        print("end", key, file=file, flush=True)
        message = {"role": "assistant", "content": answer(body)}
        return JSONResponse(
            {
                "id": key[:12],
                "object": "chat.completion",
                "created": 0,
                "model": "fake",
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 20, "completion_tokens": 12, "total_tokens": 32},
            }
        )

    return Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])


if __name__ == "__main__":
    uvicorn.run(
        app(float(sys.argv[2]), Path(sys.argv[3])), host="127.0.0.1", port=int(sys.argv[1]), log_level="error"
    )
