"""Encoder and decoder as programs: of `torch.export`, and of ONNX. Each is compared with the model before it is written."""

from __future__ import annotations

import io
import logging
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from genzoo import storage
from genzoo.errors import GenzooError, IncompatibleError, UsageError
from genzoo.host import origin
from genzoo.host.plugin_host import Host
from genzoo.portable.functions import Function, functions_of
from genzoo.process import own_state
from genzoo.runs.folder import RunFolder
from genzoo.runs.load import LoadedRun, load_run
from genzoo.text import one_line, visible

TOLERANCE = 1e-5
"""How far an exported program may be from the model, for numbers up to one; relative to the greatest for more."""

BATCHES = (1, 2, 5)
"""Sizes of the batches that a program is compared on."""

Form = Literal["torch", "onnx"]
FORMS: tuple[Form, ...] = ("torch", "onnx")
_SUFFIX: dict[Form, str] = {"torch": ".pt2", "onnx": ".onnx"}

Call = Callable[[Sequence[Tensor]], list[Tensor]]


@dataclass(frozen=True)
class Exported:
    """Programs of a model.

    Args:
        folder: Where they are.
        differences: File → how far it is from the model at most.
        absent: ``encoder`` or ``decoder`` → why it is not there.
    """

    folder: Path
    differences: dict[str, float]
    absent: dict[str, str]


@own_state()
@torch.no_grad()
def export_programs(
    run: RunFolder, host: Host, form: Form, folder: Path, *, best: bool = False, data: Mapping[str, Any] | None = None
) -> Exported:
    """Write a run's encoder and decoder into a new folder, with a page that says how to call them.

    Args:
        run: The run.
        host: Where its plugins come from.
        form: ``torch`` for files of `torch.export`, ``onnx`` for ONNX.
        folder: The folder to make.
        best: Take the checkpoint with the best held-out elbo.
        data: Options of the dataset that say where its files lie now, where they were moved.

    Returns:
        What was written, and how far each file is from the model.

    Raises:
        IncompatibleError: If the model has neither, or they cannot be traced.
        GenzooError: If a program does not compute what the model does within `TOLERANCE`.
        UsageError: If packages that ONNX needs are not installed.
        RunExistsError: If the folder exists.
    """
    if form == "onnx":
        _check_onnx()
    loaded = load_run(run, host, device="cpu", best=best, data=data)
    name = loaded.experiment.plan.model.name
    functions = functions_of(loaded.experiment.model, name)
    files: dict[str, bytes] = {}
    differences: dict[str, float] = {}
    absent = dict(functions.absent)
    for part, function in functions.found.items():
        file = f"{part}{_SUFFIX[form]}"
        try:
            traced = trace(function)
        except IncompatibleError as error:
            absent[part] = error.message.removeprefix("export: ").rstrip(".")
            continue
        content, call = _saved(traced) if form == "torch" else _as_onnx(traced, function)
        differences[file] = compared(function, call, file)
        files[file] = content
    if not files:
        reasons = "; ".join(dict.fromkeys(absent.values()))
        raise IncompatibleError(f"export: {name} cannot be exported: {reasons}.")
    storage.make_folder(folder)
    for file, content in files.items():
        storage.write_new(folder / file, content)
    page = _page(loaded, form, functions.found, differences, absent)
    storage.write_new(folder / "README.md", page.encode())
    return Exported(folder, differences, absent)


def trace(function: Function) -> Any:
    """The program of a function, for every size of batch.

    Raises:
        IncompatibleError: If it cannot be traced.
    """
    batch = torch.export.Dim("batch", min=1)
    example = function.example(2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shapes = tuple({0: batch} for _ in example)
            traced = torch.export.export(function, example, dynamic_shapes=(shapes,), strict=False)
            traced = _needed(traced, example, shapes)
    except Exception as error:
        why = one_line(str(error).strip().partition("\n")[0])[:200]
        raise IncompatibleError(f"export: torch.export cannot trace it ({type(error).__name__}: {why}).") from error
    drawn = sorted({str(node.target) for node in traced.graph.nodes if _is_drawn(node)})
    if drawn:
        raise IncompatibleError(f"export: it draws random numbers ({', '.join(drawn)}).")
    return traced


def _needed(traced: Any, example: tuple[Tensor, ...], shapes: Any) -> Any:
    """The same program without what its outputs do not need: the encoder's weights in the decoder, draws of a posterior."""
    module = traced.module()
    graph = module.graph
    for node in reversed(graph.nodes):
        if not node.users and (_is_drawn(node) or not node.is_impure()):
            graph.erase_node(node)
    module.recompile()
    read = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
    for name in [name for name, _ in (*module.named_parameters(), *module.named_buffers()) if name not in read]:
        owner, _, attribute = name.rpartition(".")
        delattr(module.get_submodule(owner), attribute)
    return torch.export.export(module, example, dynamic_shapes=shapes, strict=False)


def _is_drawn(node: Any) -> bool:
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()) and "dropout" not in str(node.target)


def compared(function: Function, call: Call, file: str) -> float:
    """How far a program is from the model, on batches of several sizes.

    Raises:
        GenzooError: If it is further than `TOLERANCE`.
    """
    worst = 0.0
    for size in BATCHES:
        inputs = function.example(size)
        expected = function(*inputs)
        expected = [expected] if isinstance(expected, Tensor) else list(expected)
        for wanted, found in zip(expected, call(inputs), strict=True):
            if wanted.shape != found.shape:
                raise GenzooError(
                    f"export: {file} must give {list(wanted.shape)} for a batch of {size}, got {list(found.shape)}."
                )
            if not wanted.is_floating_point():
                # A code that lies between two entries may fall to either, by rounding.
                others = int((wanted != found).sum())
                if others > max(1, wanted.numel() // 100):
                    raise GenzooError(
                        f"export: {file} must give the model's codes, got others in {others} of {wanted.numel()} places."
                    )
                continue
            scale = max(1.0, float(wanted.double().abs().max()))
            difference = float((wanted.double() - found.double()).abs().max()) / scale
            worst = difference if math.isnan(difference) else max(worst, difference)
            if not difference <= TOLERANCE:
                raise GenzooError(
                    f"export: {file} must compute what the model does within {TOLERANCE}, got {difference:.2g}."
                )
    return worst


def _saved(traced: Any) -> tuple[bytes, Call]:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of weights that share their storage
        torch.export.save(traced, buffer)
        loaded = torch.export.load(io.BytesIO(buffer.getvalue())).module()

    def call(inputs: Sequence[Tensor]) -> list[Tensor]:
        found = loaded(*inputs)
        return [found] if isinstance(found, Tensor) else list(found)

    return buffer.getvalue(), call


def _as_onnx(traced: Any, function: Function) -> tuple[bytes, Call]:
    import onnxruntime  # pyright: ignore[reportMissingImports]

    logs = [logging.getLogger(name) for name in ("onnxscript", "onnx_ir", "torch.onnx")]
    levels = [log.level for log in logs]
    try:
        for log in logs:
            log.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                traced,
                function.example(2),
                input_names=list(function.inputs),
                output_names=list(function.outputs),
                dynamo=True,
                verbose=False,
                external_data=False,
            )
    except Exception as error:
        why = one_line(str(error).strip().partition("\n")[0])[:200]
        raise IncompatibleError(f"export: ONNX cannot say what it computes ({type(error).__name__}: {why}).") from error
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
    assert program is not None
    data = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [found.name for found in session.get_inputs()]

    def call(inputs: Sequence[Tensor]) -> list[Tensor]:
        given = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return [torch.from_numpy(found) for found in session.run(list(function.outputs), given)]

    return data, call


def _check_onnx() -> None:
    from importlib.util import find_spec

    absent = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if absent:
        raise UsageError(
            f"export: --to onnx needs {', '.join(absent)}, which is not installed.",
            f"Install it: {origin.install('genzoo[onnx]')}",
        )


def _page(
    run: LoadedRun, form: Form, functions: dict[str, Function], differences: dict[str, float], absent: dict[str, str]
) -> str:
    """How to call the programs, as Markdown."""
    title = str(run.folder.record().get("title") or run.folder.path.name)
    rows: list[str] = []
    for file, difference in differences.items():
        function = functions[Path(file).stem]
        given = function.example(2)
        made = function(*given)
        made = [made] if isinstance(made, Tensor) else list(made)
        takes, gives = (
            ", ".join(_described(name, tensor) for name, tensor in zip(names, tensors, strict=True))
            for names, tensors in ((function.inputs, given), (function.outputs, made))
        )
        rows.append(f"| `{file}` | {takes} | {gives} | {difference:.1g} |")
    file = next(iter(differences))
    names = list(functions[Path(file).stem].inputs)
    if form == "torch":
        code = f'import torch\n\nprogram = torch.export.load("{file}").module()\nprogram({", ".join(names)})'
    else:
        fed = ", ".join(f'"{name}": {name}' for name in names)
        code = f'import onnxruntime\n\nsession = onnxruntime.InferenceSession("{file}")\nsession.run(None, {{{fed}}})'
    return "\n".join(
        [
            f"# {visible(title)}",
            "",
            f"Exported by `genzoo export --to {form}` after epoch {run.epoch}. N is the size of the batch.",
            "",
            "| file | takes | gives | difference from the model |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            *(f"There is no {part}: {reason}.\n" for part, reason in absent.items()),
            f"```python\n{code}\n```",
            "",
        ]
    )


def _described(name: str, tensor: Tensor) -> str:
    shape = ", ".join(["N", *map(str, tensor.shape[1:])])
    return f"`{name}` {str(tensor.dtype).removeprefix('torch.')} [{shape}]"
