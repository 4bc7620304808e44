"""A gated PixelCNN prior over discrete codes, fitted after training, for genzoo."""
