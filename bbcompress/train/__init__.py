"""Training of VAEs with PyTorch, and their export to exact models. The only package that imports torch."""
