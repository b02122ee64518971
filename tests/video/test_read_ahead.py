"""Reading ahead: the same items, no more than `depth` of them waiting, and no thread left behind."""

import gc
import threading
import time

import pytest

from vidseg.video import open_video, read_ahead

NAME = "vidseg-read-ahead"


def threads():
    return [thread for thread in threading.enumerate() if thread.name == NAME]


def wait_until(condition):
    """Wait for a condition that another thread brings about; fail after five seconds."""
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end, "waited five seconds in vain"
        time.sleep(0.005)


def test_items_come_in_order_and_the_thread_ends():
    assert list(read_ahead(range(1000), depth=3)) == list(range(1000))
    assert threads() == []


def test_no_more_than_the_depth_is_made_ahead():
    made = []
    items = read_ahead((made.append(i) or i for i in range(100)), depth=3)
    assert next(items) == 0
    wait_until(lambda: len(made) >= 5)
    time.sleep(0.1)
    assert made == [0, 1, 2, 3, 4]  # one taken, three waiting, one in the thread's hands
    items.close()


def test_an_exception_arrives_after_the_items_before_it():
    def broken():
        yield 1
        yield 2
        raise OSError("the disk is gone")

    items = read_ahead(broken())
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(OSError, match=r"^the disk is gone$"):
        next(items)
    assert threads() == []


def test_something_that_cannot_be_iterated_raises_here():
    with pytest.raises(TypeError, match="not iterable"):
        next(read_ahead(3))


def test_closing_the_consumer_stops_the_thread_and_closes_the_source():
    closed = []

    def endless():
        try:
            while True:
                yield 0
        finally:
            closed.append(threading.current_thread().name)

    items = read_ahead(endless())
    next(items)
    items.close()
    assert threads() == []
    assert closed == [NAME]


def test_dropping_the_consumer_stops_the_thread():
    items = read_ahead(iter(int, 1))
    next(items)
    del items
    gc.collect()
    wait_until(lambda: threads() == [])


def test_leaving_a_loop_early_stops_the_thread(make_video):
    for frame in read_ahead(open_video(make_video()).frames()):
        if frame.index == 5:
            break
    del frame
    gc.collect()
    wait_until(lambda: threads() == [])


def test_a_consumer_that_was_never_started_has_no_thread():
    items = read_ahead(range(3))
    assert threads() == []
    items.close()


def test_a_depth_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"a queue of depth 0 holds nothing"):
        read_ahead([1], depth=0)
