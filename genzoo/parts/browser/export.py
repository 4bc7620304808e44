"""From a function of tensors to a `Program`, by a trace of what torch does."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.fx.node import map_arg

from genzoo.parts.browser.operations import FILLED, HANDLERS, shape_of
from genzoo.parts.browser.program import Program, UnsupportedNetwork


@torch.no_grad()
def export_program(function: Callable[..., Any], inputs: Sequence[Tensor], most: int | None = None) -> Program:
    """The program of a function of tensors.

    Args:
        function: From tensors with a batch of one to a tensor, or a tuple of them. What it computes must not depend on the
            values of its inputs but through tensor operations, and it must not draw random numbers.
        inputs: Example inputs, each with a batch of one.
        most: Numbers that its constants may have; None for no limit.

    Returns:
        The program, in float32.

    Raises:
        UnsupportedNetwork: If it cannot be traced, uses an operation that pages do not know, or is too large.

    Example:
        >>> layer = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> [op["op"] for op in export_program(layer, (torch.zeros(1, 2),)).ops]
        ['linear', 'relu']
    """
    program = Program()
    try:
        traced = torch.export.export(_Wrapped(function), tuple(inputs), strict=False).run_decompositions({})
    except Exception as error:
        first = str(error).strip().partition("\n")[0][:200]
        raise UnsupportedNetwork(f"page: the network must be traceable by torch.export, got {first}.") from error
    Translation(traced, program, most).run()
    return program


class _Wrapped(nn.Module):
    """A function as the module that `torch.export` asks for; the modules that it reaches are found by themselves."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(*inputs)


class Translation:
    """From a traced graph to a program."""

    def __init__(self, traced: Any, program: Program, most: int | None) -> None:
        self.traced = traced
        self.program = program
        self.most = most
        self.known: dict[Any, Any] = {}
        """Node → a tensor (or another value) that depends on no input."""
        self.numbers: dict[Any, Any] = {}
        """Node → a value number, or a list of them."""
        self.constants: dict[Any, int] = {}

    def run(self) -> None:
        """Fill the program, node by node."""
        graph = self.traced.graph_module.graph
        needed = _needed(graph)
        stored = {**self.traced.state_dict, **self.traced.constants}
        places = {
            spec.arg.name: spec.target
            for spec in self.traced.graph_signature.input_specs
            if getattr(spec, "target", None) is not None
        }
        for node in graph.nodes:
            if node.op == "placeholder":
                if node.name in places:
                    self.known[node] = stored[places[node.name]]
                else:
                    number = self.program.new(node.meta["val"].shape)
                    self.program.inputs.append(number)
                    self.numbers[node] = number
            elif node.op == "get_attr":
                self.known[node] = operator.attrgetter(node.target)(self.traced.graph_module)
            elif node.op == "output":
                self.program.outputs = [self.number(value) for value in cast(Iterable[Any], node.args[0])]
            elif node in needed:
                self._call(node)

    def number(self, value: Any) -> int:
        """See `Values.number`."""
        if value in self.numbers:
            return self.numbers[value]
        if isinstance(value, int | float):
            return self.program.constant(torch.tensor(float(value)))
        if value not in self.constants:
            tensor = self.known[value]
            if self.most is not None and self.program.weights + tensor.numel() > self.most:
                raise UnsupportedNetwork(
                    f"page: the network must have at most {self.most:,} weights, got more.", "Allow a larger page."
                )
            self.constants[value] = self.program.constant(tensor)
        return self.constants[value]

    def constant(self, value: Any) -> Tensor | None:
        """See `Values.constant`."""
        return None if value is None else self.known.get(value)

    def _call(self, node: Any) -> None:
        name = node.target.__name__ if node.target is operator.getitem else str(node.target)
        operands = list(node.all_input_nodes)
        base = name.removeprefix("aten.").partition(".")[0]
        if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()) and base not in HANDLERS:
            raise UnsupportedNetwork(f"page: the network must not draw random numbers, got {name}.")
        if all(operand in self.known for operand in operands):
            arguments = map_arg(node.args, self.known.__getitem__)
            settings = map_arg(node.kwargs, self.known.__getitem__)
            self.known[node] = node.target(*arguments, **settings)
            return
        if node.target is operator.getitem:
            self.numbers[node] = self.numbers[node.args[0]][node.args[1]]
            return
        if base in FILLED:
            # They read an input's shape alone.
            value = torch.zeros(shape_of(node.args[0]))
            self.known[node] = node.target(value, *node.args[1:], **{**node.kwargs, "device": "cpu"})
            return
        handler = HANDLERS.get(base)
        if handler is None or not name.startswith("aten."):
            raise UnsupportedNetwork(f"page: the network must use operations that pages know, got {name}.")
        self.numbers[node] = handler(self, node)


def _needed(graph: Any) -> set[Any]:
    """The nodes that the output depends on."""
    output = next(node for node in graph.nodes if node.op == "output")
    needed: set[Any] = set()
    stack = [output]
    while stack:
        node = stack.pop()
        if node not in needed:
            needed.add(node)
            stack += node.all_input_nodes
    return needed
