"""Decoders of other papers on our data, tokens and generator: MindEye2, LoRA, MindBridge.

Their rows may claim "our implementation of the decoder on these voxels with this generator", never
the paper's numbers.
"""
