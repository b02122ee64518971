"""Clicks and boxes drawn into the mask prompt."""

import torch
from golden import seeded_model

from vidseg.model.sam2 import drawn

GRID = (2, 3)  # 32x48 input pixels, drawn on 8x12


def draw(points, labels, mask=None):
    return drawn(torch.tensor([points], dtype=torch.float32), torch.tensor([labels]), GRID, mask)[0, 0]


def test_a_click_is_highest_where_it_points_and_negative_off_the_object():
    on = draw([[33, 9]], [1])
    assert on.shape == (8, 12)
    assert divmod(int(on.argmax()), 12) == (2, 8)
    assert torch.equal(draw([[33, 9]], [0]), -on)


def test_padding_draws_nothing():
    assert not draw([[33, 9]], [-1]).any()
    assert torch.equal(draw([[33, 9], [0, 0]], [1, -1]), draw([[33, 9]], [1]))


def test_the_inside_of_a_box_is_positive_and_clicks_add_to_it():
    box = draw([[8, 8], [24, 20]], [2, 3])
    assert (box[2:5, 2:6] > 0).all()
    assert box.count_nonzero() == 3 * 4
    both = draw([[8, 8], [24, 20], [40, 28]], [2, 3, 0])
    torch.testing.assert_close(both, box + draw([[40, 28]], [0]))


def test_earlier_logits_stay_beneath():
    earlier = torch.full((1, 1, 8, 12), -3.0)
    torch.testing.assert_close(draw([[33, 9]], [1], earlier), draw([[33, 9]], [1]) - 3)


def test_only_models_made_for_it_draw(monkeypatch):
    model = seeded_model("tiny-test")
    features = model.encode_image(torch.randn(1, 3, 64, 64))
    conditioned = model.attend(features.vision, features.position, None)
    point = {"points": torch.tensor([[[20.0, 20.0]]]), "labels": torch.tensor([[1]]), "multimask": True}
    plain = model.decode(conditioned, features.high_res, **point)
    from dataclasses import replace

    model.config = replace(model.config, draw_clicks=True)
    assert not torch.equal(plain.candidates, model.decode(conditioned, features.high_res, **point).candidates)
    nothing = model.decode(conditioned, features.high_res, multimask=True)
    model.config = replace(model.config, draw_clicks=False)
    assert torch.equal(nothing.candidates, model.decode(conditioned, features.high_res, multimask=True).candidates)
