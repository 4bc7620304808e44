"""Training, checkpoints and evaluation, in plain PyTorch."""
