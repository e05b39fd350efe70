"""Pretrained image networks behind one registry, and the features made with them."""
