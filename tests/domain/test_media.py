"""Names of files in the store."""

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from crema.media.domain import MEDIA_NAME, media_name


@given(st.integers(1, 1280))
def test_only_names_that_we_give_look_like_ours(width: int) -> None:
    name = media_name(uuid4().hex, width)

    assert MEDIA_NAME.fullmatch(name)
    assert not any(MEDIA_NAME.fullmatch(other) for other in (f"../{name}", f"{name}\n", name.upper(), f"{name}\0"))
