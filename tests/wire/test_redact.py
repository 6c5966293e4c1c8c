"""No key, no URL query, no control character, no great length."""

import base64
from urllib.parse import quote

import pytest

from providers.redact import EXCERPT_BYTES, excerpt, label, mask

KEY = "qz+7/very=secret_K"


@pytest.mark.parametrize("form", [KEY, quote(KEY, safe=""), base64.b64encode(KEY.encode()).decode()])
def test_a_key_is_masked_in_every_form(form: str) -> None:
    assert mask(f"a {form} b", [KEY]) == "a [redacted] b"
    assert KEY not in excerpt(f"a {form} b", [KEY])
    assert label(f"id-{form}", [KEY]) == "id-[redacted]"


def test_no_secret_masks_nothing() -> None:
    assert mask("tokens are text", [None, "", "to"]) == "tokens are text"


@pytest.mark.parametrize(
    "text",
    [
        "Incorrect API key provided: sk-proj-abcdefghijkl",
        "header Authorization: Bearer abcdef123456",
        "gsk_abcdefghijklmnop is wrong",
        '{"api_key": "abcdefgh12"}',
        "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
    ],
)
def test_what_looks_like_a_credential_is_masked(text: str) -> None:
    shown = excerpt(text)
    assert "[redacted]" in shown
    assert not any(piece in shown for piece in ("abcdefgh", "abcdef123456", "eyJzdWIi"))


def test_urls_lose_their_queries_and_users() -> None:
    shown = excerpt("see https://ann:pw@api.example/v1?key=1234&x=2#frag and http://b.example/a.")
    assert shown == "see https://api.example/v1 and http://b.example/a."


def test_control_characters_do_not_reach_a_terminal() -> None:
    assert excerpt("a\x1b[2Jb\x00c\u202ed") == "a [2Jb c d"
    assert label("a\r\nb\x9b") == "a b"


def test_an_excerpt_is_at_most_two_kibibytes_of_valid_text() -> None:
    shown = excerpt("漢" * 5000)
    assert len(shown.encode()) <= EXCERPT_BYTES
    assert set(shown) == {"漢"}


def test_a_key_cut_by_the_windows_edge_is_not_shown() -> None:
    for pad in range(len(KEY) + 2):
        shown = excerpt("https://a.example/?" + "q" * (8 * EXCERPT_BYTES - 19 - 1 - pad) + " " + KEY, [KEY])
        assert KEY[:6] not in shown


def test_redaction_takes_linear_time_on_hostile_text() -> None:
    for text in ("a" * 10**6, "http://" * 10**5, "sk-" * 10**5, "key=" * 10**5, "x://a?" * 10**5):
        assert len(excerpt(text).encode()) <= EXCERPT_BYTES


def test_a_label_is_short_or_none() -> None:
    assert label(None) is None
    assert label("\x00") is None
    assert label("x" * 999) == "x" * 200
