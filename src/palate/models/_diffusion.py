"""Pictures drawn on this machine: any text-to-image pipeline that ``diffusers`` can load.

Only safetensors are read, and no code that lies beside the weights is run. Pictures are drawn one at a time
in a thread of their own. The noise that a picture starts from is drawn on the processor, so that a seed means
the same on every device; the arithmetic that follows may still differ between devices in the last bits.
"""

import asyncio
import base64
import io
import re
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

from palate.errors import ConfigError, ModelError, UnsupportedError
from palate.extras import Foreign, require
from palate.models._answer_cache import Operation
from palate.models._fingerprint import fingerprint
from palate.models._pricing import FREE, Price
from palate.models._requests import check_request, sample_seed
from palate.types import Array, Capabilities, Completion, Json, Request

__all__ = ["DiffusersModel", "diffusers_model"]

_PURPOSE = "A picture model of this machine"
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


class DiffusersModel:
    """A pipeline of ``diffusers``. Make it with :func:`diffusers_model`.

    Args:
        path: A folder that ``save_pretrained`` wrote, or the name of a model that was fetched before.
        steps: Denoising steps; ``None`` for the pipeline's own number.
        guidance: How closely the description is followed; ``None`` for the pipeline's own.
        device: ``"cpu"``, ``"cuda"``, ``"mps"``; ``"auto"`` takes the fastest there is.
        half: Whether to calculate in 16 bits; ``None`` for yes on ``cuda`` and no elsewhere.
    """

    def __init__(
        self, path: str, *, steps: int | None, guidance: float | None, device: str, half: bool | None
    ) -> None:
        self._path = path
        self._steps = steps
        self._guidance = guidance
        self._device = device
        self._half = half
        self._pipeline: Foreign = None
        self._loading = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="palate-diffusers")

    def __repr__(self) -> str:
        """Name the weights."""
        return f"DiffusersModel({self._path!r})"

    @property
    def name(self) -> str:
        """The folder's name, or the model's."""
        place = Path(self._path)
        return f"diffusers:{place.name if place.is_dir() else self._path}"

    @property
    def capabilities(self) -> Capabilities:
        """Draws, one picture at a time, and takes a seed."""
        return Capabilities(draw=True, seed=True)

    def identity(self, operation: Operation) -> Json:
        """The weights and everything that goes with every picture."""
        place = Path(self._path)
        weights = _weights_of(place) if place.is_dir() else ""
        settings: Json = {"steps": self._steps, "guidance": self._guidance, "half": self._half}
        return {"interface": "diffusers", "path": self._path, "weights": weights, "settings": settings}

    def price(self, operation: Operation) -> Price:
        """Nothing: the machine is the user's own."""
        return FREE

    async def generate(self, request: Request) -> Completion:
        """Draw one picture.

        Args:
            request: Its messages together are the description; ``extra["size"]`` is the size in pixels, as
                ``"512x512"``. Other parameters in ``extra`` are refused.

        Returns:
            A PNG file in base64; or, with ``finish="refused"``, that the pipeline's own filter blanked it.

        Raises:
            ConfigError: A parameter is unknown, or the size is none.
            ModelError: The weights cannot be loaded, or drawing failed.
            MissingExtraError: ``diffusers`` is not installed.
        """
        check_request(request)
        options = self._options(request)
        started = monotonic()
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(self._pool, self._draw, options, sample_seed(request))
        seconds = monotonic() - started
        if data is None:
            refusal = "the pipeline's safety filter blanked the picture"
            return Completion(refusal, self.name, "refused", cost=0.0, seconds=seconds)
        return Completion(base64.b64encode(data).decode("ascii"), self.name, cost=0.0, seconds=seconds)

    async def embed(self, texts: Sequence[str]) -> Array:
        """Not what it is for."""
        raise UnsupportedError(f"{self.name} draws pictures and cannot embed; name another [embedding] kind")

    async def score(self, request: Request, continuation: str) -> Array:
        """Not what it is for."""
        raise UnsupportedError(f"{self.name} draws pictures and cannot score texts")

    async def close(self) -> None:
        """Let go of the weights."""
        await asyncio.to_thread(self._pool.shutdown)
        self._pipeline = None

    def _options(self, request: Request) -> dict[str, Foreign]:
        options: dict[str, Foreign] = {"prompt": "\n\n".join(turn.content for turn in request.messages)}
        for key, value in request.extra.items():
            size = _SIZE.fullmatch(value) if key == "size" and isinstance(value, str) else None
            if size is None:
                raise ConfigError(f"{self.name} takes a size like '512x512' and no {key!r} = {value!r}")
            options["width"], options["height"] = int(size[1]), int(size[2])
        if self._steps is not None:
            options["num_inference_steps"] = self._steps
        if self._guidance is not None:
            options["guidance_scale"] = self._guidance
        return options

    def _draw(self, options: dict[str, Foreign], seed: int | None) -> bytes | None:
        torch = require("torch", "diffusers", _PURPOSE)
        pipeline = self._loaded(torch)
        if seed is not None:
            options["generator"] = torch.Generator("cpu").manual_seed(seed)
        try:
            with torch.inference_mode():
                drawn = pipeline(**options)
        except Exception as error:  # pipelines raise whatever their parts do
            line = " ".join(str(error).split())[:300]
            raise ModelError(f"{self.name} could not draw: {line or type(error).__name__}") from error
        blanked = getattr(drawn, "nsfw_content_detected", None)
        if blanked and blanked[0]:
            return None
        written = io.BytesIO()
        drawn.images[0].save(written, "PNG")
        return written.getvalue()

    def _loaded(self, torch: Foreign) -> Foreign:
        with self._loading:
            if self._pipeline is None:
                self._pipeline = self._load(torch, require("diffusers", "diffusers", _PURPOSE))
            return self._pipeline

    def _load(self, torch: Foreign, diffusers: Foreign) -> Foreign:
        device = _fastest(torch) if self._device == "auto" else self._device
        half = device == "cuda" if self._half is None else self._half
        try:
            pipeline = diffusers.DiffusionPipeline.from_pretrained(
                self._path,
                dtype=torch.float16 if half else torch.float32,
                use_safetensors=True,
                local_files_only=True,
            ).to(device)
        except Exception as error:  # files missing, of another kind, too large for the device
            line = " ".join(str(error).split())[:300]
            raise ModelError(f"the picture model {self._path!r} cannot be loaded: {line}") from error
        pipeline.set_progress_bar_config(disable=True)
        return pipeline


def _fastest(torch: Foreign) -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _weights_of(folder: Path) -> str:
    parts = [folder, *(part for part in sorted(folder.iterdir()) if part.is_dir())]
    return "-".join(fingerprint(part) for part in parts)


def diffusers_model(
    path: str,
    *,
    steps: int | None = None,
    guidance: float | None = None,
    device: str = "auto",
    half: bool | None = None,
) -> DiffusersModel:
    """Make a model of a text-to-image pipeline on this machine, as a study file names it.

    Nothing is fetched: put the weights there first, for example with ``hf download NAME --local-dir FOLDER``.

    Args:
        path: The folder of the pipeline, with a ``model_index.json`` and weights as safetensors; or the name
            of a model that lies in the cache of ``huggingface_hub``.
        steps: Denoising steps, at least 1.
        guidance: How closely the description is followed, at least 0.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``.
        half: Whether to calculate in 16 bits.

    Raises:
        ConfigError: An option is wrong, or the folder holds no pipeline.
    """
    place = Path(path)
    if not path or (place.is_dir() and not (place / "model_index.json").is_file()):
        raise ConfigError(f"path is {path!r}; it must be a folder with the model_index.json of a pipeline")
    if steps is not None and steps < 1:
        raise ConfigError(f"steps is {steps!r}; it is at least 1")
    if guidance is not None and not guidance >= 0:
        raise ConfigError(f"guidance is {guidance!r}; it is at least 0")
    if device not in ("auto", "cpu", "cuda", "mps"):
        raise ConfigError(f"device is {device!r}; it is 'auto', 'cpu', 'cuda' or 'mps'")
    return DiffusersModel(path, steps=steps, guidance=guidance, device=device, half=half)
