"""Signs of life: who reads a medium tells that it gives something, also while a decoder has nothing to say yet."""

from __future__ import annotations

import bz2
import gzip
import io
import random
import tarfile
import threading
import time

import pytest

from backalaika.reading.entering import Entering
from backalaika.reading.messages import LooseFile, Moved, Rows, Settings
from backalaika.reading.seekable import FileStream
from backalaika.reading.trees import tree_at


def tar_of(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@pytest.mark.parametrize("hashing", [True, False])
@pytest.mark.parametrize("codec", ["gz", "bz2"])
def test_there_are_signs_of_life_while_threads_have_not_decoded_anything(codec, hashing, tmp_path, monkeypatch):
    rapidgzip = pytest.importorskip("rapidgzip")
    packed = (gzip if codec == "gz" else bz2).compress(tar_of("noise", random.Random(1).randbytes(4_000_000)), 1)
    path = tmp_path / f"x.tar.{codec}"
    path.write_bytes(packed)
    messages, before, asked = [], [], threading.Event()
    read_ahead = FileStream.drain_untold

    def wait_and_read(stream, is_enough):  # it would be at the end before the decoder has begun
        asked.wait(5)
        read_ahead(stream, is_enough)

    class Silent:
        """Says nothing before some signs have come, and then leaves it to the plain decoder."""

        def __init__(self, source, parallelization):
            pass

        def read(self, size):
            began, deadline = len(messages), time.monotonic() + 5
            asked.set()
            while len(messages) < began + 10 and time.monotonic() < deadline:
                time.sleep(0.01)
            before.append(messages[began:])
            return b""

        def tell_compressed(self):
            return 0

        def close(self):
            pass

    for name in ("RapidgzipFile", "IndexedBzip2File"):
        monkeypatch.setattr(rapidgzip, name, Silent)
    monkeypatch.setattr(FileStream, "drain_untold", wait_and_read)
    tree = tree_at(str(tmp_path))
    file = LooseFile(path.name.encode(), len(packed), 0)
    Entering(tree, Settings(hashing=hashing), messages.append).enter(file, threads=4)

    [signs] = before
    assert len(signs) >= 10
    assert {type(sign) for sign in signs} == {Moved}
    assert b"noise" in [row.name for message in messages if isinstance(message, Rows) for row in message.rows]
