"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, Resource, hookimpl

REPORT = "Le Trung et al. 2026, Variational Autoencoders: Theory, Implementation, and Conditional Extensions on MNIST"


@hookimpl
def genzoo_metrics() -> list[Component]:
    return [
        Component(
            kind="metric",
            name="code-classes",
            target="genzoo_report.code_classes:CodeClasses",
            options="genzoo_report.options:CodeClassesOptions",
            summary="Whether codes cluster by class: nearest-neighbour accuracy, and the nearest class of each centroid",
            paper=REPORT,
            api="1.0",
        ),
        Component(
            kind="metric",
            name="code-style",
            target="genzoo_report.code_style:CodeStyle",
            options="genzoo_report.options:CodeStyleOptions",
            summary="Correlation of each latent dimension with the slant and the stroke thickness of the image",
            paper=REPORT,
            api="1.0",
        ),
        Component(
            kind="metric",
            name="class-kept",
            target="genzoo_report.class_kept:ClassKept",
            options="genzoo_report.options:ClassKeptOptions",
            summary="How often a judge sees the requested class in class swaps, style transfers and class traversals",
            paper=REPORT,
            api="1.0",
        ),
        Component(
            kind="metric",
            name="sharpness",
            target="genzoo_report.sharpness:Sharpness",
            options="genzoo_report.options:SharpnessOptions",
            summary="Laplacian variance of reconstructions over that of their inputs; below 1 is blurred",
            paper="Pech-Pacheco et al. 2000, Diatom autofocusing in brightfield microscopy, https://doi.org/10.1109/ICPR.2000.903548",
            api="1.0",
        ),
    ]


@hookimpl
def genzoo_resources() -> list[Resource]:
    recipes = {
        "report-vae": "The report's VAE in its own configuration",
        "report-cvae": "The report's CVAE in its own configuration",
        "one-minute": "A first look in a minute: a VAE of dense layers and its latent plane",
        "quick-vae": "The report's VAE and network in 12 epochs",
        "quick-cvae": "The report's CVAE and network in 12 epochs",
        "best-vae": "The best VAE with a 2-D latent in 30 epochs",
        "best-cvae": "The best CVAE with a 2-D latent in 30 epochs",
        "annealing-none": "The report's VAE without warm-up",
        "annealing-pixel-average": "The report's VAE with the cross-entropy averaged over pixels, which collapses",
    }
    tables = {
        "report": "Table 4 of the report, three seeds",
        "report-quick": "Epochs that the report's networks need to pass its totals",
        "report-best": "The best totals with a 2-D latent in 30 epochs",
        "report-selection": "What the report's recipes chose between, by held-out training images",
        "report-annealing": "What happens without warm-up",
    }
    return [
        *(Resource("recipe", name, f"genzoo_report:recipes/{name}.toml", text) for name, text in recipes.items()),
        *(
            Resource("reproduction", name, f"genzoo_report:reproductions/{name}.toml", text)
            for name, text in tables.items()
        ),
    ]
