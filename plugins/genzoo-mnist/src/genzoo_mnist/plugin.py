"""What this distribution declares. Imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_datasets() -> list[Component]:
    return [
        Component(
            "dataset",
            "mnist",
            "genzoo_mnist.mnist:Mnist",
            "genzoo_mnist.options:MnistOptions",
            summary="70,000 handwritten digits, 28×28, ten classes; embedded, nothing to download",
            paper="LeCun, Bottou, Bengio and Haffner 1998, Gradient-based learning applied to document recognition",
            api="1.0",
        )
    ]
