"""Pictures made on the spot."""

from io import BytesIO

from PIL import Image


def png(width: int = 8, height: int = 8) -> bytes:
    """Make a small plain PNG."""
    buffer = BytesIO()
    Image.new("RGB", (width, height), "#c8a27a").save(buffer, "PNG")
    return buffer.getvalue()
