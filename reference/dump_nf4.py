"""Writes fixtures/parity/nf4.safetensors: what bitsandbytes makes of a matrix in NF4 with double quantisation."""

from pathlib import Path

import numpy as np
import torch
from bitsandbytes import functional
from safetensors.torch import save_file

# 300 blocks of 64, so that a second block of scales is begun. Magnitudes differ from block to block.
N = 64 * 300
i = np.arange(N, dtype=np.int64)
x = (((i * 2654435761) % 2**32) / 2.0**31 - 1.0) * (1 + (i // 64) % 7) * 0.02
codes, state = functional.quantize_4bit(
    torch.from_numpy(x.astype(np.float32)), blocksize=64, compress_statistics=True, quant_type="nf4"
)
back = functional.dequantize_4bit(codes, state).flatten()
save_file(
    {
        "codes": codes.flatten(),
        "scales": state.absmax,
        "outer": state.state2.absmax,
        "offset": state.offset.reshape(1),
        "book": state.code,
        "scales_book": state.state2.code,
        # Around the border of the two blocks of scales, and the beginning.
        "values.0": back[:1024].clone(),
        "values.16000": back[16000:17024].clone(),
    },
    Path(__file__).parent.parent / "fixtures" / "parity" / "nf4.safetensors",
)
