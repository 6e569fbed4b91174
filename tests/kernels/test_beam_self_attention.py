"""Attention of beams to their pasts: both implementations against the specification."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genrec.errors import InputError
from genrec.kernels import Backend, beam_self_attention
from genrec.kernels.beam_self_attention.reference import beam_self_attention_reference
from tests.kernels.conftest import CompileKernel, RunKernel

Attend = Callable[..., Tensor]

TOLERANCE = 1e-5  # beside values of size one, float32


@dataclass(frozen=True, kw_only=True)
class Case:
    """What an example's tensors are drawn from."""

    seed: int
    batch: int
    beams: int
    steps: int
    slots: int
    heads: int
    width: int
    scale: float = 1.0
    has_bias: bool = False
    room: int = 0
    """Steps and slots of NaN that the cache has beyond those used."""

    def arguments(self) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(self.seed)
        normal = partial(torch.randn, generator=generator)
        head = (self.heads, self.width)
        shape = (self.batch, self.steps + self.room, self.slots + self.room, 2, *head)
        cache = torch.full(shape, torch.nan)[:, : self.steps, : self.slots]
        cache.copy_(normal(cache.shape))
        table = (self.batch, self.beams, self.steps)
        return {
            "query": normal(self.batch, self.beams, *head),
            "keys_values": cache,
            "ancestors": torch.randint(0, self.slots, table, generator=generator),
            "scale": self.scale,
            "bias": normal(self.heads, self.steps) if self.has_bias else None,
        }


CASES = st.builds(
    Case,
    seed=st.integers(0, 2**31),
    batch=st.integers(0, 3),
    beams=st.integers(0, 6),
    steps=st.integers(1, 8),
    slots=st.integers(1, 7),
    heads=st.integers(1, 5),
    width=st.integers(1, 9) | st.just(32),
    scale=st.sampled_from([0.0, 0.2, 1.0, 100.0]),
    has_bias=st.booleans(),
    room=st.integers(0, 2),
)
drawn = partial(settings, deadline=None, derandomize=True, database=None)


@pytest.fixture(params=Backend, scope="module")
def attend(request: pytest.FixtureRequest) -> Attend:
    """`beam_self_attention` on each of its backends."""
    if request.param is Backend.TORCH:
        return partial(beam_self_attention, backend=Backend.TORCH)
    return on_triton(request.getfixturevalue("run_kernel"))


def on_triton(run_kernel: RunKernel) -> Attend:
    return partial(run_kernel, beam_self_attention, backend=Backend.TRITON)


def check(attend: Attend, case: Case) -> None:
    arguments = case.arguments()
    found = attend(**arguments)
    expected = beam_self_attention_reference(**arguments)
    assert found.shape == expected.shape and found.dtype == torch.float32
    # Beside scores of some hundreds a weight is off by as many roundoffs.
    atol = TOLERANCE * max(1.0, case.scale)
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


@drawn(max_examples=80)
@given(CASES)
def test_what_beams_see_is_what_the_specification_says(case: Case) -> None:
    check(partial(beam_self_attention, backend=Backend.TORCH), case)


@drawn(max_examples=10)
@given(CASES)
def test_what_beams_see_with_the_triton_twin_is_what_the_specification_says(
    run_kernel: RunKernel, case: Case
) -> None:
    check(on_triton(run_kernel), case)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize(("heads", "width"), [(1, 1), (4, 32), (5, 33)])
@pytest.mark.parametrize("room", [0, 1])
def test_the_first_step_and_widths_at_a_power_of_two(
    attend: Attend, steps: int, heads: int, width: int, room: int
) -> None:
    case = Case(
        seed=0,
        batch=2,
        beams=3,
        steps=steps,
        slots=1 if steps == 1 else 3,
        heads=heads,
        width=width,
        has_bias=True,
        room=room,
    )
    check(attend, case)


def test_a_beam_sees_what_attention_over_its_own_path_sees(attend: Attend) -> None:
    case = Case(seed=3, batch=2, beams=4, steps=3, slots=5, heads=2, width=8)
    arguments = {**case.arguments(), "scale": None}
    found = attend(**arguments)
    for request in range(2):
        for beam in range(4):
            path = arguments["ancestors"][request, beam]
            entries = [arguments["keys_values"][request, s, path[s]] for s in range(3)]
            past, seen = torch.stack(entries, dim=2)  # [H, S, d] each
            query = arguments["query"][request, beam, :, None]  # [H, 1, d]
            expected = F.scaled_dot_product_attention(query, past, seen)[:, 0]
            torch.testing.assert_close(found[request, beam], expected, atol=TOLERANCE, rtol=0)


def test_a_bias_that_outweighs_all_else_chooses_the_step(attend: Attend) -> None:
    case = Case(seed=4, batch=1, beams=2, steps=3, slots=2, heads=2, width=4)
    bias = torch.zeros(2, 3)
    bias[0, 1] = bias[1, 2] = 1e4
    arguments = {**case.arguments(), "bias": bias}
    found, ancestors = attend(**arguments), arguments["ancestors"]
    for beam in range(2):
        for head, step in ((0, 1), (1, 2)):
            expected = arguments["keys_values"][0, step, ancestors[0, beam, step], 1, head]
            torch.testing.assert_close(found[0, beam, head], expected, atol=TOLERANCE, rtol=0)


def test_an_answer_is_no_part_of_a_graph() -> None:
    arguments = Case(seed=0, batch=1, beams=2, steps=2, slots=2, heads=1, width=4).arguments()
    arguments["query"].requires_grad_()
    assert not beam_self_attention(**arguments).requires_grad


def changed(**changes: Tensor) -> dict[str, Any]:
    """Arguments that fit, but for the changes."""
    case = Case(seed=0, batch=2, beams=3, steps=2, slots=3, heads=2, width=4, has_bias=True)
    return case.arguments() | changes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (changed(query=torch.zeros(2, 3, 8)), r"query \[B, M, H, d\]"),
        (changed(keys_values=torch.zeros(2, 2, 3, 3, 2, 4)), r"and \[2, 2, 3, 3, 2, 4\]"),
        (changed(keys_values=torch.zeros(2, 2, 3, 2, 4)), r"keys_values \[B, S, W, 2, H, d\]"),
        (changed(query=torch.zeros(2, 3, 4, 2)), "must agree in B, H and d"),
        (changed(query=torch.zeros(1, 3, 2, 4)), "must agree in B, H and d"),
        (changed(keys_values=torch.zeros(2, 0, 3, 2, 2, 4)), "S, H and d be at least 1"),
        (changed(ancestors=torch.zeros(2, 3, 1).long()), r"\[2, 3, 2\], got \[2, 3, 1\]"),
        (changed(ancestors=torch.zeros(2, 3, 2).int()), "int64 ancestors"),
        (changed(ancestors=torch.full((2, 3, 2), 3)), "from 0 to 2, got 3 to 3"),
        (changed(ancestors=torch.full((2, 3, 2), -1)), "from 0 to 2, got -1 to -1"),
        (changed(bias=torch.zeros(3, 2)), r"bias must be \[H, S\] = \[2, 2\]"),
        (changed(query=torch.zeros(2, 3, 2, 4).double()), "float32 query"),
        (changed(keys_values=torch.zeros(2, 2, 3, 2, 2, 4).half()), "float32 keys_values"),
        (changed(bias=torch.zeros(2, 2, device="meta")), "move one of them"),
        (changed(keys_values=torch.zeros(2, 2, 3, 2, 2, 5)[..., :4]), "contiguous cache"),
        (changed(keys_values=torch.zeros(2, 2, 3, 2, 4, 2).mT), "contiguous cache"),
        (
            changed(keys_values=torch.zeros(2, 2, 2, 3, 2, 4).transpose(2, 3)),
            "contiguous cache",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        beam_self_attention(**arguments)


def test_a_device_without_an_implementation_is_refused_not_replaced() -> None:
    arguments: dict[str, Any] = {
        name: value.to("meta") if isinstance(value, Tensor) else value
        for name, value in changed().items()
    }
    with pytest.raises(InputError, match="not meta"):
        beam_self_attention(**arguments)


@pytest.mark.parametrize("has_bias", [False, True])
def test_the_kernel_compiles_for_sm_90_without_a_gpu(
    compile_for_sm_90: CompileKernel, has_bias: bool
) -> None:
    floats = ("query_ptr", "keys_values_ptr", "bias_ptr", "attended_ptr")
    strides = ("request_stride", "step_stride", "slot_stride")
    sizes = ("num_beams", "num_steps", "num_heads", "width", *strides)
    ptx = compile_for_sm_90(
        "genrec.kernels.beam_self_attention.triton_kernel",
        "beam_attention_kernel",
        {
            **dict.fromkeys(floats, "*fp32"),
            "ancestors_ptr": "*i64",
            **dict.fromkeys(sizes, "i32"),
            "scale": "fp32",
        },
        {"HAS_BIAS": has_bias, "BLOCK_H": 4, "BLOCK_D": 32},
    )
    assert ".target sm_90" in ptx
