"""A declaration module that imports torch."""

import torch as torch
