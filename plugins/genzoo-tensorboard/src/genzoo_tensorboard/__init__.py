"""TensorBoard tracking of genzoo runs."""
