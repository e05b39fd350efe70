"""The registry of decoders: the class of each by name, as "module:class".

The settings allow these names, and `models.decoders` imports a class when it is used, so that
reading settings needs no torch.
"""

DECODERS: dict[str, str] = {
    "bit": "brainit.models.brain_transformer:BitDecoder",
    "mlp": "brainit.models.brain_mlp:MlpDecoder",
}
"""Name, which is also the kind of the decoder's files -> class. Names are literal strings: the code
digest follows them.
"""

PEERS: dict[str, str] = {
    "mindeye2": "brainit.models.peers.mindeye2:Mindeye2Decoder",
    "lora_skip": "brainit.models.peers.lora_skip:LoraSkipDecoder",
    "mindbridge": "brainit.models.peers.mindbridge:MindbridgeDecoder",
}
"""Decoders of other papers, which predict semantic tokens alone and have a training of their own.

`lora_skip` fine-tunes a `mindeye2`.
"""
