"""Few heaps for all threads, counted by the C library itself; few prepared programs."""

import ctypes
import os
import platform
import subprocess
import sys

import pytest

from vidseg.cli import main

PROGRAM = """
import ctypes, sys, threading
from vidseg.heap import share_heaps
if sys.argv[1] == "share":
    share_heaps()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
libc.malloc.restype = ctypes.c_void_p
libc.malloc_info.argtypes = [ctypes.c_int, ctypes.c_void_p]
libc.fclose.argtypes = [ctypes.c_void_p]
meet = threading.Barrier(9)
def work():
    meet.wait()
    assert libc.malloc(50_000)
    meet.wait()
threads = [threading.Thread(target=work) for _ in range(9)]
[one.start() for one in threads]
[one.join() for one in threads]
file = libc.fopen(sys.argv[2].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
print(open(sys.argv[2]).read().count("<heap nr="))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc, whose heaps are meant")
@pytest.mark.parametrize(("how", "few"), [("share", True), ("leave", False)])
def test_threads_share_few_heaps(how, few, tmp_path):
    command = [sys.executable, "-c", PROGRAM, how, str(tmp_path / "heaps.xml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert (int(done.stdout) <= 5) == few


KEPT = """
import ctypes, sys
from vidseg.heap import share_heaps
if sys.argv[1] == "share":
    share_heaps()
class Info(ctypes.Structure):  # of glibc's malloc.h
    _fields_ = [(name, ctypes.c_size_t) for name in "arena ordblks smblks hblks hblkhd a b c d e".split()]
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.mallinfo2.restype = Info
before = libc.mallinfo2().hblkhd
assert libc.malloc(ctypes.c_size_t(20 << 20))
print(libc.mallinfo2().hblkhd - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc, whose heaps are meant")
@pytest.mark.parametrize(("how", "mapped"), [("share", False), ("leave", True)])
def test_feature_maps_are_kept_in_the_heap_and_not_mapped_anew(how, mapped):
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("glibc counts what is mapped from 2.33 on")
    done = subprocess.run([sys.executable, "-c", KEPT, how], capture_output=True, text=True, timeout=60, check=True)
    assert (int(done.stdout) >= 20 << 20) == mapped


def test_where_there_is_no_such_setting_nothing_happens(monkeypatch):
    from vidseg import heap

    monkeypatch.setattr(heap.ctypes, "CDLL", lambda name: object())
    heap.share_heaps()


@pytest.mark.parametrize(("said", "kept"), [(None, "320"), ("50", "50")])
def test_the_command_keeps_few_prepared_programs_unless_told_otherwise(said, kept, monkeypatch):
    monkeypatch.setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", said or "")  # so that it is put back afterwards
    if said is None:
        monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY")
    monkeypatch.setattr("vidseg.cli.share_heaps", lambda: None)  # would stay with the tests that follow
    assert main(["models"]) == 0
    assert os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] == kept
