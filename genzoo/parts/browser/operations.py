"""How each operation of a trace is said in those of `browser.js`: one function per kind of operation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from genzoo.parts.browser.program import Program, UnsupportedNetwork

_ALIKE = (
    "relu",
    "sigmoid",
    "tanh",
    "exp",
    "log",
    "sqrt",
    "rsqrt",
    "square",
    "neg",
    "abs",
    "floor",
    "reciprocal",
    "silu",
    "erf",
)
_PAIRS = ("add", "sub", "mul", "div", "maximum", "minimum", "pow", "eq", "ne", "gt", "lt", "ge", "le")
FILLED = ("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full")
"""Operations that read the shape of an input alone."""


class Values(Protocol):
    """What a translation knows of the nodes before: their numbers in the program, and the tensors that are constant."""

    program: Program

    def number(self, value: Any) -> int:
        """The value number of a node's result, of a constant or of a plain number."""
        ...

    def constant(self, value: Any) -> Tensor | None:
        """The tensor of a node that depends on no input; None for others, and for None."""
        ...


def shape_of(node: Any) -> list[int]:
    """The shape of a node's result."""
    return list(node.meta["val"].shape)


def _refuse(node: Any, why: str) -> UnsupportedNetwork:
    return UnsupportedNetwork(f"page: {node.target} must {why} to run in a page.")


def _settings(node: Any) -> dict[str, Any]:
    """All arguments of a call by name, defaults among them."""
    schema = node.target._schema.arguments
    found = {argument.name: argument.default_value for argument in schema if argument.has_default_value()}
    found.update(zip((argument.name for argument in schema), node.args, strict=False))
    return {**found, **node.kwargs}


def _two(value: Any) -> list[int]:
    values = list(value)
    return values * 2 if len(values) == 1 else values


def _same(t: Values, node: Any) -> int:
    return t.number(node.args[0])


def _dropout(t: Values, node: Any) -> int:
    if _settings(node).get("train"):
        raise _refuse(node, "be off, as in evaluation")
    return t.number(node.args[0])


def _reshape(t: Values, node: Any) -> int:
    return t.program.emit("reshape", [t.number(node.args[0])], shape_of(node))


def _unary(op: str) -> Callable[[Values, Any], int]:
    return lambda t, node: t.program.emit(op, [t.number(node.args[0])], shape_of(node))


def _binary(op: str) -> Callable[[Values, Any], int]:
    def handle(t: Values, node: Any) -> int:
        if node.kwargs.get("alpha", 1) != 1 or node.kwargs.get("rounding_mode"):
            raise _refuse(node, "have its defaults")
        return t.program.emit(op, [t.number(node.args[0]), t.number(node.args[1])], shape_of(node))

    return handle


def _linear(t: Values, node: Any) -> int:
    s = _settings(node)
    inputs = [t.number(s[name]) for name in ("input", "weight", "bias") if s.get(name) is not None]
    shape = shape_of(node)
    t.program.multiplications += math.prod(shape) * t.program.shapes[inputs[1]][1]
    return t.program.emit("linear", inputs, shape)


def _addmm(t: Values, node: Any) -> int:
    bias, left, right = (t.number(value) for value in node.args[:3])
    if node.kwargs:
        raise _refuse(node, "have its defaults")
    return t.program.emit("add", [_matmul(t, left, right, shape_of(node)), bias], shape_of(node))


def _product(t: Values, node: Any) -> int:
    return _matmul(t, t.number(node.args[0]), t.number(node.args[1]), shape_of(node))


def _matmul(t: Values, left: int, right: int, shape: list[int]) -> int:
    if len(t.program.shapes[left]) < 2 or len(t.program.shapes[right]) < 2:
        raise UnsupportedNetwork("page: matrix products must be of matrices, got a vector.")
    t.program.multiplications += math.prod(shape) * t.program.shapes[left][-1]
    return t.program.emit("matmul", [left, right], shape)


def _conv(t: Values, node: Any) -> int:
    s = _settings(node)
    x = t.number(s["input"])
    shape = shape_of(node)
    flat = len(shape) == 3  # one dimension: as an image of height 1
    transposed = bool(s.get("transposed", "transpose" in str(node.target)))
    weight = t.number(s["weight"])
    if isinstance(s.get("padding"), str) or len(shape) not in {3, 4}:
        raise _refuse(node, "have one or two dimensions and a padding in numbers")
    sizes = {name: _two(s[name]) for name in ("stride", "padding", "dilation")}
    sizes["output_padding"] = _two(s.get("output_padding", [0]))
    if flat:
        sizes = {name: [{"stride": 1, "dilation": 1}.get(name, 0), value[0]] for name, value in sizes.items()}
        x = t.program.emit("reshape", [x], _with_height(t.program.shapes[x]))
        weight = t.program.emit("reshape", [weight], _with_height(t.program.shapes[weight]))
    out = _with_height(shape) if flat else shape
    inputs = [x, weight, *([t.number(s["bias"])] if s.get("bias") is not None else [])]
    of = t.program.shapes[weight]
    t.program.multiplications += math.prod(t.program.shapes[x] if transposed else out) * of[1] * of[2] * of[3]
    op = "conv_transpose" if transposed else "conv"
    result = t.program.emit(op, inputs, out, groups=s.get("groups", 1), **sizes)
    return t.program.emit("reshape", [result], shape) if flat else result


def _with_height(shape: Sequence[int]) -> list[int]:
    return [*shape[:2], 1, shape[2]]


def _batch_norm(t: Values, node: Any) -> list[int]:
    s = _settings(node)
    names = ("weight", "bias", "running_mean", "running_var")
    weight, bias, mean, variance = (t.constant(s.get(name)) for name in names)
    if mean is None or variance is None:
        raise _refuse(node, "have running statistics")
    scale = (variance.double() + s["eps"]).rsqrt() * (1 if weight is None else weight.double())
    shift = -mean.double() * scale + (0 if bias is None else bias.double())
    shape = _shape_of_first(node)
    spread = [-1, *([1] * (len(shape) - 2))]
    scaled = t.program.emit("mul", [t.number(s["input"]), t.program.constant(scale.reshape(spread))], shape)
    return [t.program.emit("add", [scaled, t.program.constant(shift.reshape(spread))], shape)]


def _shape_of_first(node: Any) -> list[int]:
    found = node.meta["val"]
    return list((found[0] if isinstance(found, tuple | list) else found).shape)


def _norm(t: Values, node: Any) -> int:
    s = _settings(node)
    shape = shape_of(node)
    grouped = "num_groups" in s
    rows = shape[0] * s["num_groups"] if grouped else math.prod(shape[: len(shape) - len(s["normalized_shape"])])
    result = t.program.emit("normalise", [t.number(s["input"])], shape, rows=rows, eps=s["eps"])
    for op, name in (("mul", "weight"), ("add", "bias")):
        if s.get(name) is not None:
            value = t.number(s[name])
            if grouped:
                value = t.program.emit("reshape", [value], [shape[1], *([1] * (len(shape) - 2))])
            result = t.program.emit(op, [result, value], shape)
    return result


def _permute(t: Values, node: Any) -> int:
    rank = len(shape_of(node))
    if "permute" in str(node.target):
        order = [axis % rank for axis in node.args[1]]
    else:
        first, second = (0, 1) if ".t." in str(node.target) else (node.args[1] % rank, node.args[2] % rank)
        order = list(range(rank))
        order[first], order[second] = second, first
    return t.program.emit("permute", [t.number(node.args[0])], shape_of(node), order=order)


def _expand(t: Values, node: Any) -> int:
    return t.program.emit("expand", [t.number(node.args[0])], shape_of(node))


def _broadcast(t: Values, node: Any) -> list[int]:
    shapes = [list(part.shape) for part in node.meta["val"]]
    return [t.program.emit("expand", [t.number(x)], shape) for x, shape in zip(node.args[0], shapes, strict=True)]


def _where(t: Values, node: Any) -> int:
    return t.program.emit("where", [t.number(value) for value in node.args], shape_of(node))


def _stack(t: Values, node: Any) -> int:
    shape = shape_of(node)
    axis = (node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)) % len(shape)
    single = [*shape[:axis], 1, *shape[axis + 1 :]]
    parts = [t.program.emit("reshape", [t.number(value)], single) for value in node.args[0]]
    return t.program.emit("cat", parts, shape, axis=axis)


def _attention(t: Values, node: Any) -> int:
    s = _settings(node)
    if s.get("attn_mask") is not None or s.get("is_causal") or s.get("enable_gqa") or s.get("dropout_p"):
        raise _refuse(node, "have no mask")
    query, key, value = (t.number(s[name]) for name in ("query", "key", "value"))
    shape, of = t.program.shapes[query], t.program.shapes[key]
    order = [*range(len(of) - 2), len(of) - 1, len(of) - 2]
    turned = t.program.emit("permute", [key], [of[axis] for axis in order], order=order)
    product = _matmul(t, query, turned, [*shape[:-1], of[-2]])
    scale = t.number(s["scale"] if s.get("scale") is not None else shape[-1] ** -0.5)
    scaled = t.program.emit("mul", [product, scale], [*shape[:-1], of[-2]])
    weights = t.program.emit("softmax", [scaled], [*shape[:-1], of[-2]])
    return _matmul(t, weights, value, shape_of(node))


def _cat(t: Values, node: Any) -> int:
    axis = (node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)) % len(shape_of(node))
    return t.program.emit("cat", [t.number(value) for value in node.args[0]], shape_of(node), axis=axis)


def _slice(t: Values, node: Any) -> int:
    s = _settings(node)
    shape = shape_of(node)
    axis = s["dim"] % len(shape)
    size = t.program.shapes[t.number(s["input"] if "input" in s else s["self"])][axis]
    start = s.get("start") or 0
    start = min(max(start + size if start < 0 else start, 0), size)
    return t.program.emit("slice", [t.number(node.args[0])], shape, axis=axis, start=start, step=s.get("step", 1))


def _select(t: Values, node: Any) -> int:
    x = t.number(node.args[0])
    before = list(t.program.shapes[x])
    axis, index = node.args[1] % len(before), node.args[2] % before[node.args[1] % len(before)]
    before[axis] = 1
    cut = t.program.emit("slice", [x], before, axis=axis, start=index, step=1)
    return t.program.emit("reshape", [cut], shape_of(node))


def _split(t: Values, node: Any) -> list[int]:
    axis = node.args[2] if len(node.args) > 2 else node.kwargs.get("dim", 0)
    parts: list[int] = []
    start = 0
    for part in node.meta["val"]:
        place = axis % len(part.shape)
        parts.append(
            t.program.emit("slice", [t.number(node.args[0])], list(part.shape), axis=place, start=start, step=1)
        )
        start += part.shape[place]
    return parts


def _nearest(t: Values, node: Any) -> int:
    return t.program.emit("nearest", [t.number(node.args[0])], shape_of(node))


def _bilinear(t: Values, node: Any) -> int:
    corners = bool(_settings(node).get("align_corners"))
    return t.program.emit("bilinear", [t.number(node.args[0])], shape_of(node), corners=corners)


def _pool(op: str) -> Callable[[Values, Any], int]:
    def handle(t: Values, node: Any) -> int:
        s = _settings(node)
        if s.get("ceil_mode") or s.get("divisor_override") or len(shape_of(node)) != 4:
            raise _refuse(node, "pool images by its defaults")
        kernel = _two(s["kernel_size"])
        sizes = {"kernel": kernel, "stride": _two(s["stride"] or kernel), "padding": _two(s["padding"])}
        inside = not s.get("count_include_pad", True)
        return t.program.emit(op, [t.number(node.args[0])], shape_of(node), inside=inside, **sizes)

    return handle


def _reduce(op: str) -> Callable[[Values, Any], int]:
    def handle(t: Values, node: Any) -> int:
        x = t.number(node.args[0])
        before = t.program.shapes[x]
        axes = node.args[1] if len(node.args) > 1 and node.args[1] else range(len(before))
        axes = [axis % len(before) for axis in axes]
        return t.program.emit(op, [x], shape_of(node), axes=axes)

    return handle


def _softmax(t: Values, node: Any) -> int:
    shape = shape_of(node)
    if node.args[1] % len(shape) != len(shape) - 1:
        raise _refuse(node, "be over the last dimension")
    return t.program.emit("softmax", [t.number(node.args[0])], shape)


def _clamp(t: Values, node: Any) -> int:
    s = _settings(node)
    low, high = s.get("min", s.get("min_val")), s.get("max", s.get("max_val"))
    result = t.number(node.args[0])
    for op, bound in (("maximum", low), ("minimum", high)):
        if bound is not None:
            result = t.program.emit(op, [result, t.number(bound)], shape_of(node))
    return result


def _gelu(t: Values, node: Any) -> int:
    op = "gelu_tanh" if node.kwargs.get("approximate") == "tanh" else "gelu"
    return t.program.emit(op, [t.number(node.args[0])], shape_of(node))


def _leaky(t: Values, node: Any) -> int:
    slope = _settings(node)["negative_slope"]
    return t.program.emit("leaky_relu", [t.number(node.args[0])], shape_of(node), slope=slope)


def _elu(t: Values, node: Any) -> int:
    s = _settings(node)
    if s["scale"] != 1 or s["input_scale"] != 1:
        raise _refuse(node, "have its defaults")
    return t.program.emit("elu", [t.number(node.args[0])], shape_of(node), alpha=s["alpha"])


def _softplus(t: Values, node: Any) -> int:
    s = _settings(node)
    if s["beta"] != 1:
        raise _refuse(node, "have its defaults")
    return t.program.emit("softplus", [t.number(node.args[0])], shape_of(node))


def _cast(t: Values, node: Any) -> int:
    before, after = node.args[0].meta["val"].dtype, node.meta["val"].dtype
    if not after.is_floating_point and before != after:
        raise _refuse(node, "turn numbers into floats")
    return t.number(node.args[0])


def _embedding(t: Values, node: Any) -> int:
    return t.program.emit("embedding", [t.number(node.args[0]), t.number(node.args[1])], shape_of(node))


def _pixel_shuffle(t: Values, node: Any) -> int:
    n, channels, height, width = t.program.shapes[t.number(node.args[0])]
    r = node.args[1]
    out = channels // r**2
    split = t.program.emit("reshape", [t.number(node.args[0])], [n, out, r, r, height, width])
    moved = t.program.emit("permute", [split], [n, out, height, r, width, r], order=[0, 1, 4, 2, 5, 3])
    return t.program.emit("reshape", [moved], shape_of(node))


HANDLERS: dict[str, Callable[[Values, Any], Any]] = {
    **{name: _unary(name) for name in _ALIKE},
    **{name: _binary(name) for name in _PAIRS},
    **dict.fromkeys(
        ("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "_reshape_alias"), _reshape
    ),
    **dict.fromkeys(("clone", "contiguous", "alias", "detach", "lift_fresh_copy"), _same),
    **dict.fromkeys(("_to_copy", "to"), _cast),
    **dict.fromkeys(("permute", "transpose", "t"), _permute),
    **dict.fromkeys(("convolution", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"), _conv),
    **dict.fromkeys(("_native_batch_norm_legit_no_training", "batch_norm"), _batch_norm),
    **dict.fromkeys(("group_norm", "layer_norm"), _norm),
    **dict.fromkeys(("split", "split_with_sizes", "chunk"), _split),
    **dict.fromkeys(("matmul", "mm", "bmm"), _product),
    **dict.fromkeys(("clamp", "hardtanh", "clamp_min", "clamp_max"), _clamp),
    **dict.fromkeys(("softmax", "_softmax"), _softmax),
    "upsample_nearest2d": _nearest,
    "upsample_bilinear2d": _bilinear,
    "avg_pool2d": _pool("avg_pool"),
    "max_pool2d": _pool("max_pool"),
    "mean": _reduce("mean"),
    "sum": _reduce("sum"),
    "dropout": _dropout,
    "linear": _linear,
    "addmm": _addmm,
    "expand": _expand,
    "cat": _cat,
    "stack": _stack,
    "where": _where,
    "broadcast_tensors": _broadcast,
    "scaled_dot_product_attention": _attention,
    "slice": _slice,
    "select": _select,
    "gelu": _gelu,
    "leaky_relu": _leaky,
    "elu": _elu,
    "softplus": _softplus,
    "embedding": _embedding,
    "pixel_shuffle": _pixel_shuffle,
}
