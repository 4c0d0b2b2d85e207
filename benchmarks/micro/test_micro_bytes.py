"""Headers, digests, frames: what a worker does, without the disk.

    pytest benchmarks/micro --benchmark-columns=median,iqr,rounds

Each also looks at its answer, once.
"""

import hashlib
import io
import os
import tarfile

import deflate
import pytest

from backalaika.codecs import CODECS
from backalaika.digests import DIGESTS, digest_function
from backalaika.formats import zip as zip_format
from backalaika.formats.zip import ZipMember
from backalaika.run.framing import tar_header


def test_tar_headers_of_a_thousand_files(benchmark, entries):
    names = [os.fsencode(f"office/{entry.name}") for entry in entries]

    headers = benchmark(lambda: [tar_header(name, entry) for name, entry in zip(names, entries, strict=True)])

    stream = b"".join(header + bytes(1024) for header in headers) + bytes(1024)
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        assert len(archive.getmembers()) == 1000


def test_zip_headers_of_a_thousand_files(benchmark, entries):
    members = [ZipMember(os.fsencode(e.name), e.mode, e.mtime_ns, zip_format.STORED, 0, 1000, 1000) for e in entries]

    def make():
        return [(zip_format.local_header(member), zip_format.central_entry(member, 12345)) for member in members]

    assert all(local[:4] == b"PK\x03\x04" and central[:4] == b"PK\x01\x02" for local, central in benchmark(make))


@pytest.mark.parametrize("digest", DIGESTS)
@pytest.mark.parametrize(("size", "count"), [(1000, 1000), (1 << 20, 8)], ids=["1000 of 1 kB", "8 of 1 MiB"])
def test_digests(benchmark, content, digest, size, count):
    pieces = [content[size * i : size * (i + 1)] for i in range(count)]
    function = digest_function(digest)

    digests = benchmark(lambda: [function(piece) for piece in pieces])

    if digest == "sha256":
        assert digests[0] == hashlib.sha256(pieces[0]).digest()
    assert len(set(digests)) == count


@pytest.mark.parametrize("option", CODECS)
@pytest.mark.parametrize("kind", ["text", "photo"])
def test_a_frame_at_the_usual_level(benchmark, content, option, kind):
    codec = CODECS[option]
    start = 0 if kind == "text" else len(content) - codec.frame_size
    frame = content[max(start, 0) :][: codec.frame_size]

    rounds = 2 if option == "xz" else 10  # one takes seconds
    packed = benchmark.pedantic(codec.compress, (frame, codec.default_level), rounds=rounds)

    assert len(packed) < len(frame) * 1.01


def test_deflate_of_a_thousand_small_members(benchmark, content):
    bodies = [content[4000 * i : 4000 * i + 1000] for i in range(1000)]

    packed = benchmark(lambda: [deflate.deflate_compress(body, 6) for body in bodies])

    assert deflate.deflate_decompress(packed[0], 1000) == bodies[0]
