"""Projections of codes to the plane: principal components, t-SNE and UMAP."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from genzoo.errors import PluginError, UsageError

INSTALL_UMAP = "pip install umap-learn"


@dataclass(frozen=True)
class Plane:
    """Points in the plane.

    Args:
        points: float64 ``[N, 2]`` on the CPU.
        names: What the two axes are.
        method: How the points came about, for a subtitle.
    """

    points: Tensor
    names: tuple[str, str]
    method: str


def principal_components(codes: Tensor) -> Plane:
    """The two directions of greatest variance, each pointing where its largest weight is positive.

    Args:
        codes: ``[N, D]`` with D of 2 or more.

    Example:
        >>> principal_components(torch.tensor([[0.0, 0.0, 0.0], [3.0, 0.0, 0.0]])).points[:, 0].tolist()
        [-1.5, 1.5]
    """
    values = codes.double().cpu()
    centred = values - values.mean(0)
    _, strengths, directions = torch.linalg.svd(centred, full_matrices=False)
    if len(directions) < 2:  # a single point has one direction
        directions = torch.cat([directions, torch.zeros(1, values.shape[1], dtype=torch.float64)])
        strengths = torch.cat([strengths, torch.zeros(1, dtype=torch.float64)])
    top = directions[:2]
    signs = top.gather(1, top.abs().argmax(1, keepdim=True)).sign()
    shares = strengths[:2].square() / strengths.square().sum().clamp_min(1e-300)
    first, second = (
        f"component {index + 1} ({100 * float(share):.0f} % of the variance)" for index, share in enumerate(shares)
    )
    return Plane(centred @ (top * torch.where(signs == 0, 1.0, signs)).T, (first, second), "principal components")


def tsne(codes: Tensor, perplexity: float, seed: int) -> Plane:
    """t-SNE, initialised by principal components.

    Args:
        codes: ``[N, D]``.
        perplexity: Below N.
        seed: Of scikit-learn's random state; numpy's own is left alone.

    Raises:
        UsageError: If there are no more points than the perplexity.

    References:
        van der Maaten and Hinton 2008, *Visualizing data using t-SNE*.
    """
    check_points(len(codes), perplexity)
    from sklearn.manifold import TSNE

    model = TSNE(perplexity=perplexity, init="pca", random_state=seed % 2**31)
    found = model.fit_transform(codes.double().cpu().numpy())
    return Plane(torch.from_numpy(found).double(), ("", ""), f"t-SNE, perplexity {perplexity:g}")


def umap(codes: Tensor, neighbours: float, seed: int) -> Plane:
    """UMAP, from the optional package umap-learn.

    Args:
        codes: ``[N, D]``.
        neighbours: Size of a point's neighbourhood, rounded.
        seed: Of its random state.

    Raises:
        PluginError: If umap-learn is not installed.
        UsageError: If there are no more points than neighbours.

    References:
        McInnes, Healy and Melville 2018, *UMAP: Uniform manifold approximation and projection for dimension reduction*.
    """
    check_umap()
    check_points(len(codes), neighbours)
    from umap import UMAP  # pyright: ignore[reportMissingImports]

    model: Any = UMAP(n_neighbors=round(neighbours), random_state=seed % 2**31, n_jobs=1)
    found = model.fit_transform(codes.double().cpu().numpy())
    return Plane(torch.from_numpy(found).double(), ("", ""), f"UMAP, {round(neighbours)} neighbours")


def check_umap() -> None:
    """Refuse where umap-learn is missing.

    Raises:
        PluginError: With the command that installs it.
    """
    if find_spec("umap") is None:
        raise PluginError(
            "latent-scatter: projection umap must have umap-learn, which is not installed.", f"{INSTALL_UMAP}."
        )


def check_points(points: int, perplexity: float) -> None:
    """Refuse a neighbourhood that is as large as the data.

    Raises:
        UsageError: If ``points`` is not above ``perplexity``.
    """
    if points <= perplexity:
        raise UsageError(
            f"latent-scatter: points must be more than the perplexity {perplexity:g}, got {points}.",
            "Take more points with --viz.latent-scatter.points or a lower --viz.latent-scatter.perplexity.",
        )
