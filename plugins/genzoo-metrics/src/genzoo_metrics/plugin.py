"""What this distribution declares. Imports no torch."""

from __future__ import annotations

from genzoo.declare import Component, hookimpl


@hookimpl
def genzoo_metrics() -> list[Component]:
    return [
        Component(
            "metric",
            "elbo",
            "genzoo_metrics.elbo:Elbo",
            "genzoo_metrics.options:ElboOptions",
            summary="Distortion, rate and elbo of the test set with standard errors, by one posterior sample and by many",
            paper="Kingma and Welling 2014, Auto-encoding variational Bayes",
            api="1.0",
        ),
        Component(
            "metric",
            "active-units",
            "genzoo_metrics.active_units:ActiveUnits",
            "genzoo_metrics.options:ActiveUnitsOptions",
            summary="How many latent units vary with the image",
            paper="Burda, Grosse and Salakhutdinov 2016, Importance weighted autoencoders",
            api="1.0",
        ),
        Component(
            "metric",
            "class-accuracy",
            "genzoo_metrics.class_accuracy:ClassAccuracy",
            "genzoo_metrics.options:ClassAccuracyOptions",
            summary="How often a judge finds conditional samples to be of their class, a class, with their diversity",
            api="1.0",
        ),
        Component(
            "metric",
            "judge-frechet",
            "genzoo_metrics.judge_frechet:JudgeFrechet",
            "genzoo_metrics.options:JudgeFrechetOptions",
            summary="Fréchet distance of samples from real images in a judge's features; not FID",
            paper="Heusel et al. 2017, GANs trained by a two time-scale update rule converge to a local Nash equilibrium",
            api="1.0",
        ),
        Component(
            "metric",
            "precision-recall",
            "genzoo_metrics.precision_recall:PrecisionRecall",
            "genzoo_metrics.options:PrecisionRecallOptions",
            summary="Fidelity and variety of samples in a judge's features, and how near they are to training images",
            paper="Kynkäänniemi et al. 2019, Improved Precision and Recall Metric for Assessing Generative Models, "
            "https://arxiv.org/abs/1904.06991",
            api="1.1",
        ),
        Component(
            "metric",
            "sampling-cost",
            "genzoo_metrics.sampling_cost:SamplingCost",
            "genzoo_metrics.options:SamplingCostOptions",
            summary="How often the network runs for a sample, seconds for 1000 samples, and parameters",
            api="1.1",
        ),
        Component(
            "metric",
            "bits-per-dim",
            "genzoo_metrics.bits_per_dim:BitsPerDim",
            "genzoo_metrics.options:BitsPerDimOptions",
            summary="−log2 P(x) of 8-bit images per pixel and channel, exact or a bound, as the protocol says",
            paper="Theis et al. 2016, A note on the evaluation of generative models, https://arxiv.org/abs/1511.01844",
            api="1.1",
        ),
    ]
