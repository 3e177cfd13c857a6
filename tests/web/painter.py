"""An images endpoint that draws: real PNGs over real HTTP, which depend on the prompt, and every mischief."""

import base64
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image, ImageDraw

GREENS = {"grey": 20, "brown": 60, "mossy": 110, "grassy": 160, "emerald": 225}
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>parent.ran=1</script></svg>"


def paint(prompt: str, size: tuple[int, int]) -> bytes:
    """A meadow whose green depends on the words of the prompt, with a sun where one is asked for."""
    green = next((value for word, value in GREENS.items() if word in prompt), 40)
    picture = Image.new("RGB", size, (60, 60, 70))
    draw = ImageDraw.Draw(picture)
    width, height = size
    draw.rectangle((0, height // 3, width, height), fill=(40, green, 40))
    if "sun" in prompt:
        draw.ellipse((width // 2 - 20, 10, width // 2 + 20, 50), fill=(250, 220, 60))
    for blade in range(0, width, 9):
        draw.line((blade, height, blade + 4, height // 2), fill=(30, max(0, green - 20), 30))
    written = io.BytesIO()
    picture.save(written, "PNG")
    return written.getvalue()


class Painter:
    """Draws, and counts how often each prompt was drawn."""

    def __init__(self) -> None:
        self.prompts: list[str] = []
        self.released = threading.Event()
        painter = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
                status, body = painter.answer(asked)
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                with suppress(ConnectionError):  # what is too large is not read to its end
                    self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def answer(self, asked: dict[str, Any]) -> tuple[int, bytes]:
        """What the endpoint does with a prompt; some words in it bring out the worst."""
        prompt = asked["prompt"]
        self.prompts.append(prompt)
        width, height = map(int, asked["size"].split("x"))
        if "forbidden" in prompt:
            refusal = {"message": "rejected by our safety system", "code": "moderation_blocked"}
            return 400, json.dumps({"error": refusal}).encode()
        if "hanging" in prompt:
            self.released.wait(60)
        if "enormous" in prompt:
            return 200, b'{"data":[{"b64_json":"' + b"A" * 40_000_000 + b'"}]}'
        data = paint(prompt, (width, height))
        if "scripted" in prompt:
            data = SVG
        elif "tiny" in prompt:
            data = paint(prompt, (32, 32))
        elif "garbled" in prompt:
            data = b"\x00\x01garbage" + data[40:]
        return 200, json.dumps({"data": [{"b64_json": base64.b64encode(data).decode()}]}).encode()


@contextmanager
def painting() -> Iterator[Painter]:
    """A painter at work."""
    painter = Painter()
    thread = threading.Thread(target=painter.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield painter
    painter.released.set()
    painter.server.shutdown()
    painter.server.server_close()
    thread.join()
