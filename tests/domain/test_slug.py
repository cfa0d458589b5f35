import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crema.core.slug import slugify


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Латте", "latte"),
        ("Раф «Цитрус» — 350 мл", "raf-tsitrus-350-ml"),
        ("Щавелевый чай с ёжиком", "shchavelevyi-chai-s-ezhikom"),
        ("Съешь ещё", "sieesh-eshche"),
        ("Flat White", "flat-white"),
        ("Crème brûlée", "creme-brulee"),
        ("Кофейня №1", "kofeinia-no1"),
        ("  --a__b--  ", "a-b"),
        ("И\u0306", "i"),  # decomposed Й
        ("☕", ""),
        ("咖啡", ""),
        ("", ""),
    ],
)
def test_names_become_addresses(name: str, slug: str) -> None:
    assert slugify(name) == slug


def test_a_long_name_is_cut_without_a_trailing_hyphen() -> None:
    assert slugify("a" * 79 + " bcd") == "a" * 79


@given(st.text())
def test_any_text_gives_a_slug_or_nothing(text: str) -> None:
    slug = slugify(text)

    assert slug == "" or (re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) and len(slug) <= 80)


@given(st.text())
def test_a_slug_is_its_own_slug(text: str) -> None:
    assert slugify(slugify(text)) == slugify(text)
