"""Pieces of work done at the same time: in order, on a share of the threads, under the caller's mode."""

import threading

import pytest
import torch

from vidseg.abreast import abreast


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_results_come_in_the_order_of_the_pieces(count):
    assert abreast(lambda n: n * n, range(count)) == [n * n for n in range(count)]


def test_pieces_run_at_the_same_time_and_share_the_threads(use_threads):
    use_threads(4)
    together = threading.Barrier(2, timeout=30)  # breaks if one waits for the other to end

    def work(_):
        together.wait()
        return torch.get_num_threads()

    assert abreast(work, "ab") == [2, 2]
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("inference", [True, False])
def test_pieces_are_computed_in_the_mode_of_the_caller(inference):
    with torch.inference_mode(inference):
        assert abreast(lambda _: torch.is_inference_mode_enabled(), "abc") == [inference] * 3


@pytest.mark.parametrize("bad", "ab")
def test_what_one_raises_is_raised_when_all_have_ended(bad, use_threads):
    use_threads(4)
    ended = []

    def work(name):
        if name == bad:
            raise ValueError(f"{name} is broken")
        ended.append(name)

    with pytest.raises(ValueError, match=f"{bad} is broken"):
        abreast(work, "ab")
    assert ended == ["b" if bad == "a" else "a"]
    assert torch.get_num_threads() == 4
