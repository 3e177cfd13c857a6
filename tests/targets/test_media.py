"""Pictures from anybody: what is refused, what is kept, and that nothing but pixels goes on."""

import io
import struct
import zlib

import pytest
from PIL import Image, ImageDraw, PngImagePlugin

from palate.errors import ConfigError, InputError
from palate.kinds import picture_content, read_picture
from palate.targets import PictureLimits, clean_picture


def encoded(picture: Image.Image, form: str, **options: object) -> bytes:
    written = io.BytesIO()
    picture.save(written, form, **options)
    return written.getvalue()


def painted(size: tuple[int, int] = (64, 48), mode: str = "RGB") -> Image.Image:
    picture = Image.new("RGB", size, (30, 90, 200))
    ImageDraw.Draw(picture).ellipse((8, 8, size[0] - 9, size[1] - 9), fill=(240, 200, 40))
    return picture.convert(mode)


def noise(side: int) -> Image.Image:
    return Image.effect_noise((side, side), 90).convert("RGB")


def shown(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def png_chunks(data: bytes) -> list[bytes]:
    found, at = [], 8
    while at < len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        found.append(data[at + 4 : at + 8])
        at += 12 + length
    return found


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("GIF", {})])
def test_lossless_files_keep_every_pixel(form: str, options: dict[str, bool]) -> None:
    made = clean_picture(encoded(painted(), form, **options))
    assert (made.media_type, made.width, made.height) == ("image/png", 64, 48)
    assert shown(made.data).tobytes() == painted().tobytes()


def test_a_jpeg_keeps_what_it_shows() -> None:
    file = encoded(painted(), "JPEG", quality=95)
    assert shown(clean_picture(file).data).tobytes() == shown(file).tobytes()


def test_only_the_chunks_that_hold_pixels_are_left() -> None:
    notes = PngImagePlugin.PngInfo()
    notes.add_text("parameters", "a cat by candidate 7", zip=True)
    notes.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta/>")
    exif = Image.Exif()
    exif[0x010E] = "made by the secret prompt"
    file = encoded(painted(), "PNG", pnginfo=notes, exif=exif, dpi=(300, 300), icc_profile=b"profile" * 30)
    assert {b"zTXt", b"iTXt", b"eXIf", b"pHYs", b"iCCP"} <= set(png_chunks(file))
    made = clean_picture(file)
    assert set(png_chunks(made.data)) == {b"IHDR", b"IDAT", b"IEND"}


def test_a_jpeg_loses_its_place_and_stands_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    exif.get_ifd(0x8825)[2] = (51.0, 30.0, 0.0)
    picture = painted((40, 20))
    ImageDraw.Draw(picture).rectangle((0, 0, 39, 4), fill=(255, 0, 0))
    file = encoded(picture, "JPEG", exif=exif, comment=b"candidate 7", quality=95)
    assert b"Exif" in file
    assert b"candidate 7" in file
    made = clean_picture(file)
    assert (made.width, made.height) == (20, 40)
    red, _, blue = shown(made.data).getpixel((18, 20))  # the top edge has become the right one
    assert red > 200 > 60 > blue
    assert b"Exif" not in made.data
    assert b"candidate" not in made.data


def test_a_large_picture_becomes_a_webp_without_metadata() -> None:
    made = clean_picture(encoded(noise(600), "PNG"))
    assert made.media_type == "image/webp"
    assert (made.data[:4], made.data[8:16]) == (b"RIFF", b"WEBPVP8 ")  # one plain stream of pixels
    assert len(made.data) == 20 + struct.unpack("<I", made.data[16:20])[0]


def test_large_pictures_are_made_smaller_and_keep_their_shape() -> None:
    made = clean_picture(encoded(painted((800, 400)), "PNG"), limits=PictureLimits(side=200))
    assert (made.width, made.height) == (200, 100)


def test_transparent_parts_become_white_and_what_they_hid_is_gone() -> None:
    layer = Image.new("RGBA", (10, 10), (255, 0, 0, 0))
    layer.putpixel((5, 5), (0, 0, 255, 255))
    picture = shown(clean_picture(encoded(layer, "PNG")).data)
    assert picture.getpixel((0, 0)) == (255, 255, 255)
    assert picture.getpixel((5, 5)) == (0, 0, 255)
    palette = painted(mode="P")
    palette.info["transparency"] = palette.getpixel((0, 0))
    assert shown(clean_picture(encoded(palette, "PNG")).data).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bit_grey_is_scaled_and_not_cut_off() -> None:
    deep = Image.new("I;16", (4, 1))
    for place, value in enumerate((0, 16_384, 32_768, 65_535)):
        deep.putpixel((place, 0), value)
    row = shown(clean_picture(encoded(deep, "PNG")).data)
    # 16384/65535 · 255 = 63.75, 32768/65535 · 255 = 127.5
    assert [row.getpixel((place, 0))[0] for place in range(4)] == [0, 64, 128, 255]


@pytest.mark.parametrize("mode", ["L", "1", "CMYK", "LA"])
def test_other_modes_are_shown_in_colour(mode: str) -> None:
    form = "JPEG" if mode == "CMYK" else "PNG"
    assert shown(clean_picture(encoded(painted(mode=mode), form)).data).size == (64, 48)


@pytest.mark.parametrize(
    "file",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>window.ran=1</script></svg>",
        b"\xef\xbb\xbf\n <?xml version='1.0'?><svg onload='window.ran=1'/>",
        b"<!doctype html><script>window.ran=1</script>",
    ],
)
def test_what_can_carry_scripts_is_refused(file: bytes) -> None:
    with pytest.raises(InputError, match="can carry scripts"):
        clean_picture(file)


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (b"", "an empty picture"),
        (b"  \n", "an empty picture"),
        (b"\x00\x01garbage" * 20, "180 bytes that are not"),
        (b"%PDF-1.7 ...", "are not a PNG"),
        (b"BM" + bytes(60), "are not a PNG"),
        (b"II*\x00" + bytes(60), "are not a PNG"),
        (encoded(painted(), "PNG")[:100], "damaged PNG"),
        (b"\x89PNG\r\n\x1a\n" + b"<script>" * 9, "damaged PNG"),
        (b"\xff\xd8\xff" + bytes(200), "damaged JPEG"),
        (b"RIFF\x20\x00\x00\x00WEBPVP8 " + bytes(4), "damaged WebP"),
        (b"RIFF\x20\x00\x00\x00WEBPVP8 " + bytes(4) + b"\x01" * 40, "WebP|pixels"),
        (b"GIF89a" + bytes(3), "damaged GIF"),
    ],
)
def test_what_is_no_picture_is_said_in_one_line(file: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        clean_picture(file)
    assert "\n" not in str(raised.value)


def test_an_animation_is_refused() -> None:
    frames = [painted(), painted().rotate(90)]
    for form in ("GIF", "WEBP", "PNG"):
        moving = encoded(frames[0], form, save_all=True, append_images=frames[1:], duration=100)
        with pytest.raises(InputError, match="animated"):
            clean_picture(moving)


def test_a_large_file_is_not_even_opened() -> None:
    with pytest.raises(InputError, match=r"40,000,000 bytes; at most 20,000,000"):
        clean_picture(encoded(painted(), "PNG") + bytes(40_000_000 - len(encoded(painted(), "PNG"))))


def bombs() -> list[bytes]:
    huge = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + huge + chunk(b"IDAT", zlib.compress(bytes(100_000))) + chunk(b"IEND", b"")
    gif = b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + encoded(painted(), "GIF")[10:]
    extended = struct.pack("<I", 0) + (59_999).to_bytes(3, "little") * 2
    webp = b"RIFF\x40\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00" + extended + bytes(40)
    packed = (0x3FFF | 0x3FFF << 14).to_bytes(4, "little")
    lossless = b"RIFF\x40\x00\x00\x00WEBPVP8L\x20\x00\x00\x00\x2f" + packed + bytes(40)
    file = bytearray(encoded(painted(), "JPEG"))
    frame = file.index(b"\xff\xc0")
    file[frame + 5 : frame + 9] = struct.pack(">HH", 60_000, 60_000)
    return [png, gif, webp, lossless, bytes(file)]


@pytest.mark.parametrize("bomb", bombs(), ids=["png", "gif", "webp", "webp-lossless", "jpeg"])
def test_bombs_are_refused_by_the_size_that_they_declare(bomb: bytes) -> None:
    assert len(bomb) < 20_000
    with pytest.raises(InputError, match="pixels; at most 40,000,000 are unfolded"):
        clean_picture(bomb)


def test_the_size_that_was_asked_for_is_checked_before_it_is_made_smaller() -> None:
    file = encoded(painted((300, 200)), "PNG")
    assert clean_picture(file, size=(300, 200), limits=PictureLimits(side=150)).width == 150
    with pytest.raises(InputError, match="300 × 200 pixels, not 512 × 512 as asked"):
        clean_picture(file, size=(512, 512))


def test_limits_that_take_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="side"):
        PictureLimits(side=0)


def test_the_content_of_a_response_is_read_back() -> None:
    made = clean_picture(encoded(painted(), "PNG"))
    assert read_picture(picture_content(made)) == made
