"""What Triton makes of a kernel for an H100; needs no GPU."""

from __future__ import annotations

from importlib import import_module

__all__ = ["ptx_of"]


def ptx_of(
    module: str, kernel: str, signature: dict[str, str], constants: dict[str, object]
) -> str:
    """The PTX of a kernel for sm_90.

    Args:
        module: where the kernel is defined.
        kernel: its name there.
        signature: Triton's type of each argument by its name.
        constants: the values of its constexpr arguments.
    """
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    source = ASTSource(
        getattr(import_module(module), kernel),
        {**signature, **dict.fromkeys(constants, "constexpr")},
        constexprs=constants,
    )
    ptx: str = triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["ptx"]
    return ptx
