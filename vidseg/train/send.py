"""From the host to a device without making the host wait: a GPU is asked for the next work while it does the last."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def send(values: np.ndarray | Tensor, device: torch.device | str, dtype: torch.dtype | None = None) -> Tensor:
    """`values` on `device`, as `dtype` if one is given.

    A copy to a GPU is queued behind the work it has been given only from pinned memory; from elsewhere the host stands
    still until all of that is done.
    """
    tensor = torch.from_numpy(np.ascontiguousarray(values)) if isinstance(values, np.ndarray) else values
    if tensor.device.type == "cpu":
        tensor = tensor.to(dtype)
        if torch.device(device).type == "cuda":
            tensor = tensor.pin_memory()
    return tensor.to(device, dtype, non_blocking=True)
