"""Pictures of categories."""

from collections.abc import Sequence
from dataclasses import dataclass

from crema.media.domain import media_name


@dataclass(frozen=True, slots=True)
class CategoryImage:
    """A category's picture: its text, the size of the largest file, and the URLs of all files by width."""

    alt: str
    width: int
    height: int
    urls: dict[str, str]


def category_image(
    *, key: str | None, alt: str | None, width: int | None, height: int | None, widths: Sequence[int] | None
) -> CategoryImage | None:
    """Return a category's picture from the columns of its row; None if it has none. All columns are set, or none."""
    if key is None or alt is None or width is None or height is None or widths is None:
        return None
    return CategoryImage(alt, width, height, {str(each): f"/media/{media_name(key, each)}" for each in widths})
