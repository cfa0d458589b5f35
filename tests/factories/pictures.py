"""Pictures made on the spot."""

from io import BytesIO
from pathlib import Path

from PIL import Image, ImageCms

HEIC = Path(__file__).with_name("red_swapped.heic").read_bytes()
"""64 × 48 red pixels as HEIC, with the profile of `swapped_profile`. Nothing here can encode HEIC."""


def png(width: int = 8, height: int = 8) -> bytes:
    """Make a small plain PNG."""
    buffer = BytesIO()
    Image.new("RGB", (width, height), "#c8a27a").save(buffer, "PNG")
    return buffer.getvalue()


def swapped_profile() -> bytes:
    """Make a colour profile in which red is green and green is red: sRGB's, with the names of two tags exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    other = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"}
    for place in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12):
        name = bytes(profile[place : place + 4])
        profile[place : place + 4] = other.get(name, name)
    return bytes(profile)
