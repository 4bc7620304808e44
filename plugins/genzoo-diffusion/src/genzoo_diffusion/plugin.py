"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import FIELD, Component, hookimpl

HO = "Ho et al. 2020, Denoising Diffusion Probabilistic Models, https://arxiv.org/abs/2006.11239"


@hookimpl
def genzoo_models() -> list[Component]:
    return [
        Component(
            kind="model",
            name="ddpm",
            base="pixels",
            companions={
                "prior": ("diffusion", {"predicts": "noise", "sampler": "ancestral", "most_snr": 13.0, "steps": 100}),
            },
            summary="Images drawn from noise by a denoiser: pixels with a diffusion prior that predicts the noise",
            paper=HO,
            api="1.1",
        ),
        Component(
            kind="model",
            name="latent-diffusion",
            base="vae",
            companions={"prior": "diffusion", FIELD: "mlp"},
            defaults={"latent_dim": 16},
            summary="A VAE of 16 latent dimensions whose latents a diffusion draws, fitted after it",
            paper="Rombach et al. 2022, High-Resolution Image Synthesis with Latent Diffusion Models, "
            "https://arxiv.org/abs/2112.10752",
            api="1.1",
        ),
    ]


@hookimpl
def genzoo_priors() -> list[Component]:
    return [
        Component(
            kind="prior",
            name="diffusion",
            target="genzoo_diffusion.diffusion:Diffusion",
            options="genzoo_diffusion.options:DiffusionOptions",
            summary="Noise taken away step by step; a bound on its density",
            paper="Kingma et al. 2021, Variational Diffusion Models, https://arxiv.org/abs/2107.00630",
            companions={FIELD: "unet"},
            api="1.1",
        ),
    ]
