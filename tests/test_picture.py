"""Pictures on the way to the network, and masks on the way back."""

import pytest
import torch
import torch.nn.functional as F

from vidseg.picture import full_size


@pytest.mark.parametrize("size", [(480, 854), (57, 33), (112, 192)])
def test_masks_come_to_full_size_as_torch_brings_them(size):
    logits = torch.randn(3, 112, 192, generator=torch.Generator().manual_seed(0)) * 8
    expected = F.interpolate(logits[None], size=size, mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(full_size(logits, size), expected, atol=1e-3, rtol=0)
    with torch.inference_mode():
        half = full_size(logits.to(torch.bfloat16), size)
    assert half.dtype == torch.float32 and half.shape == (3, *size)
    assert full_size(logits[:0], size).shape == (0, *size)
