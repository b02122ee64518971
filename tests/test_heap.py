"""One heap for all threads, counted by the C library itself."""

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, threading
from vidseg.heap import share_heap
if sys.argv[1] == "share":
    share_heap()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
libc.malloc.restype = ctypes.c_void_p
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]
meet = threading.Barrier(3)
def work():
    meet.wait()
    assert libc.malloc(50_000)
    meet.wait()
threads = [threading.Thread(target=work) for _ in range(3)]
[one.start() for one in threads]
[one.join() for one in threads]
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
print(open(sys.argv[2]).read().count("<heap nr="))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc, whose heaps are meant")
@pytest.mark.parametrize(("how", "one"), [("share", True), ("leave", False)])
def test_threads_share_a_heap(how, one, tmp_path):
    command = [sys.executable, "-c", PROGRAM, how, str(tmp_path / "heaps.xml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (int(done.stdout) == 1) == one


def test_where_there_is_no_such_setting_nothing_happens(monkeypatch):
    from vidseg import heap

    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    heap.share_heap()
