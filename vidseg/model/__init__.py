"""The network: tensors in, tensors out. Knows no video, no file and no object id.

Every part of SAM 2 is an ordinary `torch.nn.Module` that can be built and used on its own; `Sam2` joins them behind
four verbs: `encode_image`, `attend`, `decode`, `encode_memory`. Attribute names are the official ones, so that Meta's
checkpoints load with `strict=True`.
"""

from vidseg.model.config import PRESETS, HieraConfig, Sam2Config
from vidseg.model.hiera import Hiera
from vidseg.model.image_encoder import FpnNeck, ImageEncoder
from vidseg.model.mask_decoder import MaskDecoder, TwoWayTransformer
from vidseg.model.memory_attention import MemoryAttention, MemoryAttentionLayer
from vidseg.model.memory_encoder import MemoryEncoder
from vidseg.model.prompt_encoder import PromptEncoder
from vidseg.model.sam2 import Decoded, ImageFeatures, MemoryTokens, Sam2, fed_back
from vidseg.model.vit import ImageEncoderViT

__all__ = [
    "PRESETS",
    "Decoded",
    "FpnNeck",
    "Hiera",
    "HieraConfig",
    "ImageEncoder",
    "ImageEncoderViT",
    "ImageFeatures",
    "MaskDecoder",
    "MemoryAttention",
    "MemoryAttentionLayer",
    "MemoryEncoder",
    "MemoryTokens",
    "PromptEncoder",
    "Sam2",
    "Sam2Config",
    "TwoWayTransformer",
    "fed_back",
]
