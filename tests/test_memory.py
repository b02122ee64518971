"""The memory bank: bounded, by frame number, a value."""

import pytest
import torch

from vidseg.memory import Limits, Memory, MemoryBank, join, layout, memory_tokens, seen
from vidseg.model import PRESETS, Sam2

LIMITS = Limits(prompted=4, recent=6, pointers=15)


def memory(frame: int, n: int = 1) -> Memory:
    generator = torch.Generator().manual_seed(frame + 1000)
    features = torch.randn(n, 16, 4, 6, generator=generator)
    return Memory(frame, features, torch.randn(n, 32, generator=generator))


def bank_of(frames, *, prompted=(0,)) -> MemoryBank:
    bank = MemoryBank()
    for frame in frames:
        bank = bank.remember(memory(frame), prompted=frame in prompted, limits=LIMITS)
    return bank


def test_bank_stays_the_same_size_over_ten_thousand_frames():
    one = memory(0)
    bank = MemoryBank().remember(one, prompted=True, limits=LIMITS)
    for frame in range(1, 10_000):
        prompted = frame % 97 == 0
        bank = bank.remember(Memory(frame, one.features, one.pointer), prompted=prompted, limits=LIMITS)
        assert len(bank.prompted) <= 4 and len(bank.recent) <= 6 and len(bank.pointers) <= 15
    assert [m.frame for m in bank.prompted] == [0, 9797, 9894, 9991]
    assert [m.frame for m in bank.recent] == [9994, 9995, 9996, 9997, 9998, 9999]


def test_remembering_leaves_the_old_bank_as_it_was():
    old = bank_of(range(3))
    old.remember(memory(3), prompted=False, limits=LIMITS)
    assert [m.frame for m in old.recent] == [1, 2]


def test_a_second_prompt_on_a_frame_replaces_the_first():
    bank = bank_of([0]).remember(memory(5), prompted=True, limits=LIMITS)
    again = Memory(0, memory(9).features, memory(9).pointer)
    bank = bank.remember(again, prompted=True, limits=LIMITS)
    assert [m.frame for m in bank.prompted] == [0, 5]
    assert bank.prompted[0] is again


def test_a_corrected_frame_moves_from_recent_to_prompted():
    bank = bank_of(range(5)).remember(memory(3), prompted=True, limits=LIMITS)
    assert [m.frame for m in bank.prompted] == [0, 3]
    assert [m.frame for m in bank.recent] == [1, 2, 4]
    assert [p.frame for p in bank.pointers] == [1, 2, 4]


def test_a_frame_sees_by_age_not_by_order_in_a_list():
    bank = bank_of([0, 1, 2, 3, 20, 21])
    assert [m.frame for m in seen(bank, 22, limits=LIMITS).recent] == [20, 21]
    assert [m.frame for m in seen(bank, 4, limits=LIMITS).recent] == [1, 2, 3]


def test_a_frame_does_not_see_its_own_earlier_answer():
    bank = bank_of(range(5))
    assert [m.frame for m in seen(bank, 4, limits=LIMITS).recent] == [1, 2, 3]
    assert seen(bank, 0, limits=LIMITS).prompted == ()


def test_in_reverse_the_past_is_what_has_higher_numbers():
    bank = bank_of([9, 8, 7, 6], prompted=(9,))
    visible = seen(bank, 5, limits=LIMITS, reverse=True)
    assert [m.frame for m in visible.recent] == [8, 7, 6]
    assert [p.frame for p in visible.pointers] == [9, 8, 7, 6]
    assert seen(bank, 5, limits=LIMITS).recent == ()


def test_pointers_of_prompted_frames_count_in_the_past_only():
    bank = bank_of([0, 8], prompted=(0, 8))
    visible = seen(bank, 4, limits=LIMITS)
    assert [m.frame for m in visible.prompted] == [0, 8]
    assert [p.frame for p in visible.pointers] == [0]


def test_prompted_memories_carry_the_last_time_code_and_age_a_the_row_before():
    model = Sam2(PRESETS["tiny-test"]).eval()
    with torch.no_grad():
        model.maskmem_tpos_enc.zero_()
        model.maskmem_tpos_enc += torch.arange(7.0)[:, None, None, None] * 100
    tokens = memory_tokens(model, bank_of([0, 1, 2]), 3, limits=LIMITS)
    assert tokens is not None
    slots = (tokens.position[0, : 3 * 24, 0] / 100).round().reshape(3, 24)
    assert slots[:, 0].tolist() == [6, 1, 0]  # prompted; frame 1 of age 2; frame 2 of age 1
    assert tokens.pointers == 3 * 2
    assert tokens.tokens.shape == (1, 3 * 24 + 6, 16)


def test_an_empty_bank_gives_no_tokens():
    assert memory_tokens(Sam2(PRESETS["tiny-test"]), MemoryBank(), 3, limits=LIMITS) is None


def test_joined_banks_give_the_tokens_of_each():
    model = Sam2(PRESETS["tiny-test"]).eval()
    one, other = bank_of(range(4)), bank_of(range(4))
    other = other.remember(Memory(3, memory(77).features, memory(77).pointer), prompted=False, limits=LIMITS)
    assert layout(one) == layout(other)
    both = memory_tokens(model, join([one, other]), 4, limits=LIMITS)
    for row, bank in enumerate((one, other)):
        alone = memory_tokens(model, bank, 4, limits=LIMITS)
        assert torch.equal(both.tokens[row], alone.tokens[0])
        assert torch.equal(both.position[row], alone.position[0])


def test_without_pointer_time_the_ages_are_not_told(monkeypatch):
    from dataclasses import replace

    model = Sam2(replace(PRESETS["tiny-test"], pointer_time=False)).eval()
    tokens = memory_tokens(model, bank_of(range(4)), 4, limits=LIMITS)
    assert (tokens.position[0, -tokens.pointers :] == 0).all()


@pytest.mark.parametrize("kept", [0, 2])
def test_limits_can_be_smaller(kept):
    limits = Limits(prompted=1, recent=kept, pointers=kept)
    bank = MemoryBank()
    for frame in range(6):
        bank = bank.remember(memory(frame), prompted=frame < 2, limits=limits)
    assert (len(bank.prompted), len(bank.recent), len(bank.pointers)) == (1, kept, kept)
