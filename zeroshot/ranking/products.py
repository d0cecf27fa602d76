"""The matrix product that all ranking rests on: equal rows must give equal products to the bit, for ties count.

MKL's does, where the rows are a multiple of 16, and so does oneDNN's. OpenBLAS's does not: how it sums depends on where
in the matrix a row stands. OneDNN's takes MKL's place where that is slow: on AMD's processors with AVX-512 it takes
half the time, and with `any_processor` 0.4 of what MKL's COMPATIBLE kernels take. With `any_processor`, up to 1,024
dimensions, each product is one chain of fused multiply-adds in the dimensions' order (the tests add them up), which no
processor can do otherwise.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float32
from torch import Tensor

from zeroshot.base.processor import are_products_settled, is_amd_with_avx512


def product_with(matrix: Float32[Tensor, "rows dim"]
                 ) -> Callable[[Float32[Tensor, "images dim"]], Float32[Tensor, "rows images"]]:
    """points -> matrix @ points.T, for many points one after the other."""
    if matrix.device.type != "cpu" or not (are_products_settled() or is_amd_with_avx512()):
        return lambda points: matrix @ points.T
    packed = matrix.to_mkldnn()
    return lambda points: torch.nn.functional.linear(packed, points.to_mkldnn()).to_dense()
