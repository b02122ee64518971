"""Tasks behind a queue: in order, none lost, no error swallowed."""

import threading

import pytest

from vidseg.worker import Worker


def test_tasks_are_done_in_order_and_all_of_them_before_the_block_ends():
    done = []
    with Worker(depth=2) as worker:
        for n in range(20):
            worker.put(lambda n=n: done.append((n, threading.current_thread() is threading.main_thread())))
    assert done == [(n, False) for n in range(20)]


def test_the_first_error_ends_the_work_and_is_raised():
    done = []
    with pytest.raises(ZeroDivisionError), Worker() as worker:
        worker.put(lambda: 1 / 0)
        for n in range(20):
            worker.put(lambda n=n: done.append(n))
    assert done == []


def test_an_error_after_the_last_task_was_put_is_raised_too():
    release = threading.Event()

    def task():
        release.wait(5)
        raise OSError("full")

    with pytest.raises(OSError, match="full"), Worker() as worker:
        worker.put(task)
        release.set()


def test_work_put_before_the_caller_failed_is_finished():
    done = []
    with pytest.raises(KeyError), Worker() as worker:
        worker.put(lambda: done.append(1))
        raise KeyError
    assert done == [1]
