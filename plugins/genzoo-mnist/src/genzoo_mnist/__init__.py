"""The MNIST data set, embedded: nothing to download."""
