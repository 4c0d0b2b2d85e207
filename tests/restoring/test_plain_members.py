"""Plain members: what is told of them is what the reader of all tars tells, and what is damaged is left to that."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backalaika.errors import ArchiveError
from backalaika.formats import tar
from backalaika.reading.streams import Budget, Stream
from backalaika.reading.tar import attributes, members
from backalaika.restoring.items import Item
from backalaika.restoring.plain import plain_member

NAMES = st.one_of(
    st.binary(min_size=1, max_size=110).map(lambda name: name.replace(b"\0", b"?").rstrip(b"/") or b"x"),
    st.text("abc/", min_size=1, max_size=120).map(lambda name: name.strip("/").encode() or b"x"),
)
OWNERS = st.tuples(
    st.integers(0, 2**23), st.integers(0, 2**23), st.sampled_from([b"", b"nando"]), st.sampled_from([b"", b"staff"])
)
TIMES = st.one_of(st.integers(-(10**18), 10**19), st.integers(10**18, 2 * 10**18))


def item_of(path: bytes, content: bytes) -> Item:
    return Item(path, path, "file", len(content), 0, None, None, b"a.tar.zst", 0, 0)


def by_the_reader(data: bytes, item: Item):
    """Mode, owner and content as the reader of all tars has them, if it finds that file."""
    pieces = iter((data, b""))
    stream = Stream(lambda: next(pieces, b""))

    def refuse(message: str) -> None:
        raise ArchiveError(message)

    try:
        member, body = next(members(stream, Budget(1, 1 << 30, 100), refuse))
        content = b"".join(map(bytes, iter(body.take, b"")))
        is_it = (member.path, member.kind, member.size) == (item.path, "file", item.size)
        return (attributes(body), content) if is_it else None
    except (ArchiveError, StopIteration):
        return None


@given(NAMES, OWNERS, TIMES, st.integers(0, 0o7777), st.binary(max_size=2000), st.binary(max_size=600))
def test_a_plain_member_is_what_the_reader_finds(name, owner, mtime_ns, mode, content, more):
    header = tar.header(name, tar.REGULAR, mode, owner, len(content), mtime_ns)
    item = item_of(name, content)

    found = plain_member(memoryview(header + content + more), item)

    if found is not None:
        assert (found[0], bytes(found[1])) == by_the_reader(header + content + tar.padding(len(content)), item)
    elif len(name) <= 100 and name.isascii() and 10**18 <= mtime_ns < 2 * 10**18 and owner[0] < 2**21 > owner[1]:
        raise AssertionError("nearly all members are plain")


@given(st.integers(0, 3 * 512 - 1), st.integers(1, 255), st.booleans())
def test_no_other_byte_in_a_header_makes_another_member_of_it(at, difference, has_fraction):
    content = b"content"
    header = bytearray(
        tar.header(b"a/file", tar.REGULAR, 0o644, (1, 2, b"u", b"g"), len(content), 10**18 + has_fraction)
    )
    at %= len(header)
    header[at] ^= difference
    data = bytes(header) + content + tar.padding(len(content))

    found = plain_member(memoryview(data), item_of(b"a/file", content))

    assert found is None or (found[0], bytes(found[1])) == ((0o644, 1, 2, b"u", b"g"), content)


def test_of_a_member_that_is_not_all_here_nothing_is_told():
    data = tar.header(b"a", tar.REGULAR, 0o644, (1, 2, b"u", b"g"), 5, 10**18) + b"hello"

    assert plain_member(memoryview(data), item_of(b"a", b"hello")) is not None
    for length in range(len(data)):
        assert plain_member(memoryview(data)[:length], item_of(b"a", b"hello")) is None
