"""What this distribution declares; imports no torch."""

from __future__ import annotations

from genzoo.declare import Resource, hookimpl

RECIPES = {
    "one-layer-vae": "One ReLU layer of 400, 40 latent dimensions, static binarization, 500 epochs",
    "one-layer-vae-dynamic": "The same with dynamic binarization and a learning rate that falls by a cosine",
    "iwae-k5": "The importance-weighted autoencoder with five samples, 784-200-200 tanh, 60 epochs",
    "iwae-k1": "The VAE beside iwae-k5",
    "gated-vampprior": "Gated layers of 300-300 with a VampPrior of 500 pseudo-inputs, 60 epochs",
    "gated-normal": "The VAE beside gated-vampprior, with N(0, I) as prior",
    "ladder-two-levels": "A ladder VAE of two levels, 60 epochs",
    "ladder-one-level": "The VAE beside ladder-two-levels, its lower level alone",
    "ladder-one-level-wide": "The control beside ladder-two-levels, one level with as many parameters",
    "vq-vae-mnist": "A VQ-VAE on MNIST, 128 codes in a 7×7 map, with an autoregressive prior",
    "sprites-beta-1": "A VAE on sprites with β = 1, scored by five disentanglement metrics",
    "sprites-beta-4": "A VAE on sprites with β = 4, scored by five disentanglement metrics",
    "sprites-beta-16": "A VAE on sprites with β = 16, scored by five disentanglement metrics",
}

TABLES = {
    "likelihood-one-layer": "The likelihood of a VAE with one layer of 400",
    "likelihood-iwae": "IWAE with five samples against the VAE",
    "likelihood-vampprior": "The VampPrior against N(0, I)",
    "likelihood-ladder": "A ladder VAE of two levels against one level",
    "codebook-vq-vae": "A VQ-VAE's error and what a prior spends on its codes",
    "disentanglement-beta": "Disentanglement scores of β-VAE on sprites, three seeds",
}


@hookimpl
def genzoo_resources() -> list[Resource]:
    return [
        *(Resource("recipe", name, f"genzoo_published:recipes/{name}.toml", text) for name, text in RECIPES.items()),
        *(
            Resource("reproduction", name, f"genzoo_published:reproductions/{name}.toml", text)
            for name, text in TABLES.items()
        ),
    ]
