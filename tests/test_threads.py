"""The number of threads that a thread computes on is its own."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from vidseg.threads import compute_on


@pytest.mark.parametrize(("asked", "got"), [(2, 2), (0, 1)])
def test_a_new_thread_keeps_its_count_while_another_sets_its_own(asked, got, use_threads):
    use_threads(4)

    def count():
        compute_on(asked)
        another = threading.Thread(target=torch.set_num_threads, args=(4,))
        another.start()
        another.join()
        return torch.get_num_threads()

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(count).result() == got
    assert torch.get_num_threads() == 4
