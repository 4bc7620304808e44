"""What this distribution declares. Imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_metrics() -> list[Component]:
    def metric(name: str, target: str, summary: str, paper: str) -> Component:
        class_name = target.partition(":")[2]
        return Component(
            "metric",
            name,
            f"genzoo_disentanglement.{target}",
            f"genzoo_disentanglement.options:{class_name}Options",
            summary=summary,
            paper=paper,
            api="1.0",
        )

    return [
        metric(
            "beta-vae-score",
            "beta_vae_score:BetaVAEScore",
            "How well a linear classifier names the factor that pairs of images share",
            "Higgins et al. 2017, beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework",
        ),
        metric(
            "factor-vae-score",
            "factor_vae_score:FactorVAEScore",
            "How well the least varying code names the factor that is held fixed",
            "Kim and Mnih 2018, Disentangling by Factorising",
        ),
        metric(
            "mig",
            "mig:MIG",
            "The gap between the two codes that know most of a factor, in its entropy",
            "Chen et al. 2018, Isolating Sources of Disentanglement in Variational Autoencoders",
        ),
        metric(
            "dci",
            "dci:DCI",
            "Disentanglement, completeness and informativeness by a classifier's importances",
            "Eastwood and Williams 2018, A Framework for the Quantitative Evaluation of Disentangled Representations",
        ),
        metric(
            "sap",
            "sap:SAP",
            "The gap between the two codes that predict a factor best, by linear SVM and by squared correlation",
            "Kumar et al. 2018, Variational Inference of Disentangled Latent Concepts from Unlabeled Observations",
        ),
    ]
