"""The device, and what makes a computation repeat bit for bit on it."""

import os

# cuBLAS reads this when it starts; without it deterministic mode raises on CUDA.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch  # noqa: E402

from zeroshot.base.processor import settle_products  # noqa: E402


def pick_device() -> torch.device:
    """The CUDA GPU of this process where there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


def set_up(*, threads: int, seed: int = 0, deterministic: bool = True, any_processor: bool = False) -> torch.device:
    """Fix thread count, seeds and kernel choice; return the device.

    Args:
        threads: CPU threads of one operation. Sums are split by it, so another number is another result.
        seed: of torch's generators on every device.
        deterministic: refuse kernels whose result varies from run to run.
        any_processor: only kernels that every x86-64 processor with AVX2 has, if this process computed nothing yet.

    float32 is float32: without this, convolutions on newer GPUs would round their input to 10 bits (TF32).
    """
    settle_products(any_processor)
    torch.set_num_threads(threads)
    seed_draws(seed)
    # torch.use_deterministic_algorithms, but without loading torch's compiler, which takes as long as torch
    torch.set_deterministic_debug_mode("error" if deterministic else "default")
    torch.utils.deterministic.fill_uninitialized_memory = False  # of each new tensor; none is read before it is written
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.allow_tf32 = False
    return pick_device()


def seed_draws(seed: int) -> None:
    """Seed torch's generators on every device: torch.manual_seed's draws, at a hundredth of its cost.

    That one loads torch's compiler at its first call, and without a GPU in use keeps a stack trace at every call.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
