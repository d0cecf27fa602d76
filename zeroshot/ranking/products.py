"""The matrix product that all ranking rests on: equal rows must give equal products to the bit, for ties count.

MKL's does, where the rows are a multiple of 16. OpenBLAS's does not: how it sums depends on where in the matrix a row
stands. With `any_processor` oneDNN's takes MKL's place, whose COMPATIBLE kernels take 2.5 times as long: up to 1,024
dimensions each of its products is one chain of fused multiply-adds in the dimensions' order (the tests add them up),
which no processor can do otherwise.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float32
from torch import Tensor

from zeroshot.base.processor import are_products_settled


def product_with(matrix: Float32[Tensor, "rows dim"]
                 ) -> Callable[[Float32[Tensor, "images dim"]], Float32[Tensor, "rows images"]]:
    """points -> matrix @ points.T, for many points one after the other."""
    if matrix.device.type != "cpu" or not are_products_settled():
        return lambda points: matrix @ points.T
    packed = matrix.to_mkldnn()
    return lambda points: torch.nn.functional.linear(packed, points.to_mkldnn()).to_dense()
