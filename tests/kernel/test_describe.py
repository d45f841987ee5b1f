"""What a model is told of an input: one line and a short preview, of anything, in no time. No kernel is needed."""

from __future__ import annotations

import sys
import time
from typing import Any

import pytest

from rlm_kernel import wire
from rlm_kernel.kernel.context import describe
from rlm_kernel.kernel.shapes import COUNTED_CHARACTERS, COUNTED_FILES, COUNTED_ITEMS, WHOLE_CHARACTERS


def shown(value: Any) -> wire.Loaded:
    """Describe a value, and check what holds for every value."""
    loaded = describe(value)
    assert loaded.error is None
    assert len(loaded.preview) <= 2_000
    assert len(loaded.description) < 2_500
    assert "\n" not in loaded.description
    text = loaded.description + loaded.preview + loaded.type
    assert all(character in "\n\t\u3000\u00a0" or character.isprintable() for character in text), ascii(text)
    text.encode()  # no lone surrogates
    return loaded


class TestText:
    def test_a_short_text_is_shown_whole_and_its_line_ends_are_seen(self) -> None:
        loaded = shown("one\r\ntwo\rthree\n\tfour")
        assert (loaded.type, loaded.length, loaded.unit) == ("str", 20, "characters")
        assert loaded.description == "a str of 20 characters"
        assert loaded.preview == (
            "It has 4 lines (line ends: \\r\\n 1, \\n 1, \\r 1). All of it:\n```\none\\r\ntwo\\rthree\n\tfour\n```"
        )
        assert shown("x" * WHOLE_CHARACTERS).preview.startswith("It has 1 line. All of it:\n")

    @pytest.mark.parametrize(("text", "lines"), [("a", 1), ("a\n", 1), ("a\nb", 2), ("\n\n", 2), ("a\r\n\r\nb", 3)])
    def test_lines_are_counted(self, text: str, lines: int) -> None:
        assert shown(text).preview.startswith(f"It has {lines} line")
        assert len(text.splitlines()) == lines

    def test_of_a_long_text_the_ends_are_shown(self) -> None:
        loaded = shown("first " + "middle\n" * 1_000 + "last")
        head, tail = loaded.preview.split("The last 300:")
        assert head.startswith("It has 1,001 lines. The first 300 characters:\n```\nfirst middle\nmiddle\n")
        assert tail.endswith("middle\nlast\n```")
        assert "middle" not in shown("a" * 400 + "middle" + "z" * 400).preview

    def test_what_is_not_seen_is_escaped(self) -> None:
        preview = shown(
            "\ufeffnul:\0 esc:\x1b[31m sep:\u2028 rtl:\u202e half:\ud800 gone:\udfff \u65e5\u672c\u3000\u00e9"
        ).preview
        for escape in (
            r"\ufeffnul:\x00",
            r"esc:\x1b[31m",
            r"sep:\u2028",
            r"rtl:\u202e",
            r"half:\ud800",
            r"gone:\udfff",
        ):
            assert escape in preview
        assert "\u65e5\u672c\u3000\u00e9" in preview

    def test_escapes_cannot_make_it_long(self) -> None:
        for text in ("\U000e0001" * 500, "\U000e0001" * 50_000):
            assert shown(text).preview.endswith("```")

    def test_backticks_cannot_end_the_quote(self) -> None:
        assert "````\n```\nIt has 9 lines\n````" in shown("```\nIt has 9 lines").preview

    def test_lines_of_a_huge_text_are_estimated(self) -> None:
        line = "a line of thirty two characters\n"
        preview = shown(line * (2 * COUNTED_CHARACTERS // 32)).preview
        estimate = int(preview.split()[3].replace(",", ""))
        assert preview.startswith("It has about ")
        assert estimate == pytest.approx(2 * COUNTED_CHARACTERS / 32, rel=0.01)

    def test_bytes_show_their_ends(self) -> None:
        assert shown(b"\x89PNG").preview == r"All of it: b'\x89PNG'"
        preview = shown(b"\x89PNG" + bytes(1_000) + b"\xffend").preview
        assert preview.startswith(r"The first 64: b'\x89PNG\x00")
        assert preview.endswith(r"\xffend'")


class TestLists:
    def test_texts(self) -> None:
        loaded = shown(["first\n", "x" * 10_000, "third"])
        assert loaded.description == "a list of 3 items, all str, 10,011 characters in total"
        assert loaded.preview == (
            "The first: 'first\\n'\nThe last: 'third'\nTheir lengths: min 5, median 6, max 10,000 characters"
        )
        assert shown(["a" * 5_000]).preview.startswith("The first: 'aaa")
        assert "aaa... (5,000 characters)" in shown(["a" * 5_000]).preview

    def test_rows_have_keys_in_common(self) -> None:
        rows = [{"id": 1, "text": "abc", "x": None}, {"id": 2, "text": "a" * 100}, {"text": "", "id": "3"}]
        loaded = shown(rows)
        assert loaded.description == ("a list of 3 items, all dict with the keys 'id', 'text', and some have others")
        assert "The first: {'id': 1, 'text': 'abc', 'x': None}" in loaded.preview
        assert "- 'id': int|str\n- 'text': str, min 0, median 3, max 100 characters" in loaded.preview
        assert "without a key in common" in shown([{"a": 1}, {"b": 2}]).description
        many = shown([{f"column {i}": "x" * 1_000 for i in range(1_000)}] * 3)
        assert "and 980 more" in many.description
        assert "... and 9" in many.preview

    def test_a_sample_sees_what_repeats(self) -> None:
        """Every n-th row alone would see one value of a column that repeats every n rows."""
        for period in (2, 3, 7, 50, 100):
            rows = [{"kind": "even" if i % period else None} for i in range(200_000)]
            loaded = shown(rows)
            assert "- 'kind': NoneType|str" in loaded.preview
            assert "(1,000 of them looked at)" in loaded.description

    def test_other_lists(self) -> None:
        assert shown([1, "a", {}]).description == "a list of 3 items, of type dict, int, str"
        assert shown([[1], [1, 2], [1, 2, 3]]).preview.endswith("Their lengths: min 1, median 2, max 3 items")
        assert shown([]).description == "an empty list"
        nested: list[Any] = []
        for _ in range(10_000):
            nested = [nested]
        assert "..." in shown(nested).preview

    def test_a_chat_says_who_speaks(self) -> None:
        chat = [
            {"role": "system", "content": "Be\nkind."},
            {"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": "image_url", "image_url": {}}]},
            {"role": "assistant", "content": None, "tool_calls": []},
        ]
        loaded = shown(chat)
        assert loaded.description == "a list: a chat of 3 messages by system, user, assistant, 13 characters"
        assert loaded.preview == "[0] system: 'Be\\nkind.'\n[1] user: 'Look:'\n[2] assistant: None"
        preview = shown([{"role": "user", "content": f"{i} " + "x" * 5_000} for i in range(1_000)]).preview
        assert preview.startswith("[0] user: '0 xxx")
        assert "\n... 990 more ...\n[995] user: " in preview
        assert "[999] user: '999 xxx" in preview
        assert "a chat" not in shown([*chat, {"role": "user"}]).description
        assert shown([{"role": f"role {i}", "content": ""} for i in range(9)]).description.endswith(
            "role 5 and 3 more, 0 characters"
        )


class TestDicts:
    def test_keys_with_types_and_sizes(self) -> None:
        loaded = shown({"title": "A", "body": "x" * 5_000, "rows": [1, 2], "deep": {"a": 1}, "big": 2**9_000, "n": 1.5})
        assert loaded.description == "a dict of 6 keys, its values of type dict, float, int, list, str"
        assert loaded.preview.splitlines() == [
            "- 'title': 'A'",
            "- 'body': str of 5,000 characters",
            "- 'rows': list of 2 items",
            "- 'deep': dict of 1 keys",
            "- 'big': <int of 9,001 bits>",
            "- 'n': 1.5",
        ]
        assert (
            shown({"a": "one", "b": "two"}).description == "a dict of 2 keys, its values all str, 6 characters in total"
        )
        assert shown({str(i): i for i in range(50)}).preview.endswith("- '19': 19\n... and 30 more")
        assert shown({}).description == "an empty dict"

    def test_files_by_path(self) -> None:
        loaded = shown({f"src/deep/{i:03}.py": "x" * i for i in range(1, 300)} | {"LICENSE": "text"})
        assert loaded.description.startswith(
            "a dict of 300 files, each path with its text, 44,854 characters in total; "
        )
        assert "the largest: 'src/deep/299.py' 299, 'src/deep/298.py' 298, " in loaded.description
        assert "- 'src/deep/100.py'" not in loaded.preview
        for other in (
            {"a": "x", "b": "y"},
            {"a.py": 1},
            {"version 1.2": "x", "version 1.3": "y"},
            {"A sentence. So": "x"},
        ):
            assert "files" not in shown(other).description

    def test_keys_may_be_long(self) -> None:
        loaded = shown({"k\n" * 10_000 + str(i): "v" * 10_000 for i in range(30)})
        assert loaded.preview.splitlines()[0].endswith("(20,001 characters): str of 10,000 characters")


class TestFrames:
    @pytest.mark.parametrize("library", ["pandas", "polars"])
    def test_rows_and_missing_values(self, library: str) -> None:
        module = pytest.importorskip(library)
        frame = module.DataFrame({"n\n": range(10), "s": ["x\r\n", None] * 5, "t": ["y" * 5_000] * 10})
        lines = shown(frame).preview.splitlines()
        assert lines[:3] == ["Missing values: 's' 5", "The first 3 of 10 rows:", r"'n\n' | 's' | 't'"]
        assert lines[3].startswith(r"0 | 'x\r\n' | 'yyyyy")
        assert len(lines) == 6
        assert max(map(len, lines)) < 100

    @pytest.mark.parametrize("library", ["pandas", "polars"])
    def test_wide_and_long_frames(self, library: str) -> None:
        module = pytest.importorskip(library)
        wide = shown(module.DataFrame({f"column {i}": [None, "z" * 1_000] for i in range(3_000)}))
        assert wide.description.endswith(" more")
        assert "and 2,988 columns more\nThe first 2 of 2 rows:" in wide.preview
        assert wide.preview.endswith(" ...")
        long = shown(module.DataFrame({"n": range(3_000_000), "s": ["a", None, "b"] * 1_000_000}))
        count = int(long.preview.split("'s' ")[1].split()[0].replace(",", ""))
        rows = 500_000 if library == "pandas" else 3_000_000
        assert count == pytest.approx(rows / 3, rel=0.01)
        assert ("in 500,000 rows that were looked at" in long.preview) == (library == "pandas")

    def test_dates_and_levels(self) -> None:
        pandas = pytest.importorskip("pandas")
        frame = pandas.DataFrame({("a", "x"): pandas.to_datetime(["2020-01-02"]), ("a", "y"): [[1, 2]]})
        assert shown(frame).preview.splitlines()[2:] == ["('a', 'x') | ('a', 'y')", "2020-01-02 00:00:00 | [1, 2]"]
        assert shown(pandas.DataFrame({"a": []})).preview.startswith("Missing values: none\nThe first 0 of 0 rows:")


class Hostile(str):
    """A text whose own methods raise."""

    __slots__ = ()

    def __len__(self) -> int:
        raise SystemExit


class Named(type):
    __name__ = property(lambda _: "x\n" * 5_000)  # type: ignore[assignment]


class Renamed(metaclass=Named):
    def __repr__(self) -> str:
        raise AssertionError("nobody may call this")


class TestAnything:
    def test_no_value_makes_it_raise(self) -> None:
        looped: list[Any] = []
        looped.append(looped)
        knot: dict[str, Any] = {"a": {}}
        knot["a"]["b"] = knot
        values = [
            None,
            3,
            2**100_000,
            1j,
            {1},
            range(3),
            (1, 2),
            looped,
            knot,
            Hostile("x"),
            [Hostile("x")],
            {"a": Hostile()},
        ]
        values += [
            Renamed(),
            [Renamed()],
            {"a": Renamed()},
            Renamed,
            object(),
            lambda: 0,
            "",
            b"",
            {(1, "\n"): 1},
            [None],
        ]
        values += [
            {Renamed(): 1},
            sys,
            float("nan"),
            [float("nan")],
            {"a\ud800": "\ud800"},
            ["\ud800"],
            bytearray(b"a"),
        ]
        for value in values:
            shown(value)
        assert shown(None).description == "a value of type NoneType"
        assert shown(Hostile("x")).description == "a value of type Hostile"

    @pytest.mark.parametrize(
        "kind",
        ["text", "wide text", "lines", "numbers", "texts", "rows", "long texts", "keys", "files", "chat", "frame"],
    )
    def test_it_is_quick_whatever_the_size(self, kind: str) -> None:
        value: Any = {
            "text": lambda: "x" * (1 << 30),
            "wide text": lambda: "\U0001f600" * (100 << 20),
            "lines": lambda: "a\r\n" * (COUNTED_CHARACTERS // 3),
            "numbers": lambda: [0] * 20_000_000,
            "texts": lambda: [str(i) for i in range(COUNTED_ITEMS)],
            "rows": lambda: [{"a": i, "b": "x"} for i in range(COUNTED_ITEMS)],
            "long texts": lambda: ["x" * (100 << 20)] * 5,
            "keys": lambda: dict.fromkeys(range(COUNTED_ITEMS), "x"),
            "files": lambda: {f"{i}.py": "x" for i in range(COUNTED_FILES)},
            "chat": lambda: [{"role": "user", "content": "x"} for _ in range(COUNTED_ITEMS)],
            "frame": lambda: pytest.importorskip("pandas").DataFrame({"a": range(5_000_000), "b": "x"}),
        }[kind]()
        describe(value)
        seconds = []
        for _ in range(3):
            started = time.process_time()
            shown(value)
            seconds.append(time.process_time() - started)
        assert min(seconds) < 0.1, f"{min(seconds) * 1000:.0f} ms"
