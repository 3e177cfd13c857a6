"""Pictures from anywhere, made safe to show: decoded, checked, made smaller, and written anew.

What a model or a command hands over as a picture may be a web page, a script in an SVG, a file of a few
kilobytes that unfolds to gigabytes, or a photograph with the place where it was taken in it. So the file is
taken apart to its pixels and only these go on: no metadata, colour profile, thumbnail, second frame or
transparent layer survives, and the file that people get is one that was written here.

Pixels are read as sRGB. Transparent parts become white. What is turned by its EXIF orientation is turned
before that is dropped. The new file is a PNG while that is small, and a WebP at quality 92 otherwise; which
one depends on the pixels alone, so it tells nothing of where a picture comes from.
"""

import io
import struct
from dataclasses import dataclass

from palate.errors import ConfigError, InputError, MissingExtraError
from palate.extras import Foreign, require
from palate.kinds import LARGEST_PICTURE, Picture

__all__ = ["PictureLimits", "check_pillow", "clean_picture"]

_PNG_BYTES = 600_000
_WEBP_QUALITY = 92
_DEEP = 65_535


@dataclass(frozen=True, slots=True)
class PictureLimits:
    """What is taken, and how large it is shown.

    Args:
        bytes: Most bytes of the file that comes in.
        pixels: Most pixels (width × height) that it may unfold to; checked before it does.
        side: Longest side in pixels of what is shown; larger pictures are made smaller.
    """

    bytes: int = 20_000_000
    pixels: int = 40_000_000
    side: int = 1536

    def __post_init__(self) -> None:
        for name in ("bytes", "pixels", "side"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} of a picture's limits is {getattr(self, name)!r}; at least 1")


def clean_picture(
    data: bytes, *, size: tuple[int, int] | None = None, limits: PictureLimits | None = None
) -> Picture:
    """Decode a picture and write it anew, with nothing in it but its pixels.

    It takes up to a second of a processor; from a coroutine call it in a thread.

    Args:
        data: A PNG, JPEG, WebP or GIF file, from anybody.
        size: Width and height in pixels that it must have; ``None`` for any.
        limits: What is taken; ``None`` for the usual limits.

    Returns:
        A still picture in RGB that fits into ``limits.side``; ``palate.kinds.picture_content`` writes it as
        the content of a response.

    Raises:
        InputError: It is no such picture; the text says what it is, to follow the name of who made it.
        MissingExtraError: Pillow is not installed.

    Example:
        >>> clean_picture(b"<svg/>", limits=PictureLimits(bytes=5))
        Traceback (most recent call last):
        palate.errors.InputError: a picture of 6 bytes; at most 5 are read
    """
    bounds = limits or PictureLimits()
    if len(data) > bounds.bytes:
        raise InputError(f"a picture of {len(data):,} bytes; at most {bounds.bytes:,} are read")
    picture = _opened(data, bounds)
    if size is not None and picture.size != size:
        found, wanted = (f"{width} × {height}" for width, height in (picture.size, size))
        raise InputError(f"a picture of {found} pixels, not {wanted} as asked")
    picture.thumbnail((bounds.side, bounds.side), _pillow("Image").Resampling.LANCZOS)
    return _written(picture)


def check_pillow() -> None:
    """Find out before any work whether pictures can be decoded.

    Raises:
        MissingExtraError: Pillow is not installed.
    """
    _pillow("Image")


def _opened(data: bytes, bounds: PictureLimits) -> Foreign:
    """Decode a file to RGB pixels, upright, on white."""
    kind = _kind(data)
    if kind == "WebP":
        # This decoder takes the memory for all pixels before it says how many there are.
        _check_pixels(_webp_size(data), bounds)
    module, name = {
        "PNG": ("PngImagePlugin", "PngImageFile"),
        "JPEG": ("JpegImagePlugin", "JpegImageFile"),
        "WebP": ("WebPImagePlugin", "WebPImageFile"),
        "GIF": ("GifImagePlugin", "GifImageFile"),
    }[kind]
    # The one decoder and not Image.open: that would try every format there is, and warn instead of refuse.
    decoder = getattr(_pillow(module), name)
    try:
        picture = decoder(io.BytesIO(data))
        _check_pixels(picture.size, bounds)
        if getattr(picture, "n_frames", 1) > 1:
            raise InputError("an animated picture; only still ones are compared")
        picture.load()
        return _flat(_pillow("ImageOps").exif_transpose(picture))
    except (InputError, MissingExtraError):
        raise
    except Exception as error:  # decoders fail in every way on what is no picture
        line = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"a damaged {kind} picture ({line})") from None


def _kind(data: bytes) -> str:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if not data.strip():
        raise InputError("an empty picture")
    start = data[:1000].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"<"):
        raise InputError(
            "a picture that is an SVG or a web page, which can carry scripts, not a PNG, JPEG, WebP or GIF"
        )
    raise InputError(f"{len(data):,} bytes that are not a PNG, JPEG, WebP or GIF picture")


def _webp_size(data: bytes) -> tuple[int, int]:
    """Read the size that a WebP file declares (RFC 9649, sections 2.5 to 2.7)."""
    form, head = data[12:16], data[20:30]
    if len(head) < 10:
        raise InputError("a damaged WebP picture (it ends too early)")
    if form == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if form == b"VP8L":
        packed = int.from_bytes(head[1:5], "little")
        return 1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF)
    width, height = struct.unpack("<HH", head[6:10])
    return width & 0x3FFF, height & 0x3FFF


def _check_pixels(size: tuple[int, int], bounds: PictureLimits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise InputError("a picture without pixels")
    if width * height > bounds.pixels:
        raise InputError(f"a picture of {width} × {height} pixels; at most {bounds.pixels:,} are unfolded")


def _flat(picture: Foreign) -> Foreign:
    """The pixels alone, as 8-bit RGB on white."""
    if picture.mode.startswith("I"):
        # 16-bit grey; Pillow's own conversion would cut it off at 255 and leave white.
        picture = picture.convert("I").point(_to_a_byte).convert("L")
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        white = _pillow("Image").new("RGBA", layer.size, (255, 255, 255, 255))
        picture = _pillow("Image").alpha_composite(white, layer)
    plain = picture.convert("RGB")
    # From bytes, because a converted picture remembers what its file said besides the pixels.
    return _pillow("Image").frombytes("RGB", plain.size, plain.tobytes())


def _to_a_byte(value: Foreign) -> Foreign:
    return value * (255 / _DEEP) + 0.5


def _written(picture: Foreign) -> Picture:
    width, height = picture.size
    for media_type, form, options in (
        ("image/png", "PNG", {"compress_level": 6}),
        ("image/webp", "WEBP", {"quality": _WEBP_QUALITY, "method": 4}),
    ):
        written = io.BytesIO()
        picture.save(written, form, **options)
        data = written.getvalue()
        if len(data) <= (_PNG_BYTES if form == "PNG" else LARGEST_PICTURE):
            return Picture(media_type, width, height, data)
    raise InputError(f"a picture that stays above {LARGEST_PICTURE:,} bytes even when compressed")


def _pillow(module: str) -> Foreign:
    return require(f"PIL.{module}", "images", "A picture")
