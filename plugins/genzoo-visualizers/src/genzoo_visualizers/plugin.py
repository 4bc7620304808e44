"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl

REPORT = "Le Trung et al. 2026, Variational Autoencoders: Theory, Implementation, and Conditional Extensions on MNIST"


def _declare(name: str, summary: str, paper: str = "", requires_extra: tuple[str, ...] = ()) -> Component:
    module, camel = name.replace("-", "_"), "".join(word.capitalize() for word in name.split("-"))
    return Component(
        "visualizer",
        name,
        f"genzoo_visualizers.{module}:{camel}",
        f"genzoo_visualizers.options:{camel}Options",
        summary=summary,
        paper=paper,
        requires_extra=requires_extra,
        api="1.1",
    )


@hookimpl
def genzoo_visualizers() -> list[Component]:
    return [
        _declare(
            "training-curves",
            "distortion, rate and elbo by epoch, train and test, with the warm-up and β",
            f"{REPORT}, figure 1",
        ),
        _declare("reconstructions", "images beside what the model makes of them"),
        _declare("samples", "images drawn from the model"),
        _declare(
            "latent-scatter",
            "codes of test images in the plane, coloured by class; by PCA, t-SNE or UMAP above two dimensions",
            f"{REPORT}, figure 2",
            requires_extra=("umap",),
        ),
        _declare(
            "traversal",
            "the latent plane decoded as a grid, or one row for each latent dimension",
            f"{REPORT}, figure 3",
        ),
        _declare(
            "interpolation",
            "paths between the codes of test images, straight and spherical",
            f"{REPORT}, figure 4; White 2016, Sampling generative networks",
        ),
        _declare("class-grid", "samples of each class of a conditional model", f"{REPORT}, section 5.3.2"),
        _declare("class-swap", "the same latents decoded as every class", f"{REPORT}, figure 5"),
        _declare("class-interpolation", "one path through the latents decoded as two classes", f"{REPORT}, figure 5"),
        _declare("style-transfer", "the latent of a test image decoded as every class", f"{REPORT}, section 5.3.4"),
        _declare("class-traversal", "latent axes decoded as every class", f"{REPORT}, section 5.3.4"),
        _declare(
            "explorer", "a page to walk through the latent space: drag and see what is decoded, draw and see the code"
        ),
        _declare("nearest", "samples beside the training images that are nearest to them"),
        _declare(
            "denoising",
            "how noise becomes an image: states along the path of a diffusion's or flow matching's sampler",
        ),
    ]
