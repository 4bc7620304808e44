"""Likelihoods of images: bernoulli, continuous-bernoulli and gaussian."""
