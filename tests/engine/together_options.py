"""Command lines that `together` runs in several processes and `test_distributed` in one."""

from __future__ import annotations

TINY = "--limit 65 --batch-size 16 --precision fp32 --device cpu --viz-every 0 --data digits".split()  # noqa: SIM905
VAE = ["run", "vae", *TINY, *"--network mlp --network.hidden 16 --eval-batch-size 30".split()]  # noqa: SIM905
TWO = ["--epochs", "2"]
PRIOR = "--prior.epochs 2 --prior.width 8 --prior.layers 1".split()  # noqa: SIM905
GAN = ["run", "gan", *TINY, *"--network mlp --network.hidden 16 --eval-batch-size 30 --model.conditional true".split()]  # noqa: SIM905
FACTOR = ["--loss", "factor-vae", "--loss.critic", "8", "--loss.gamma", "0"]
AFTER = "--prior flow --prior.layers 2 --prior.width 8 --fit-prior after --holdout 12 --ema 0.9 --lr 0.05".split()  # noqa: SIM905
VQ = ["run", "vq-vae", *TINY, *PRIOR, "--network.channels", "8,8", "--epochs", "1"]
