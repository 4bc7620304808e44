"""Trained models out of genzoo: as programs of torch.export and ONNX, and as a folder for the Hugging Face Hub."""
