"""The loader of each network, as "module:function", by role.

`demo` builds a shipped network from the architecture in its weights file; the other loaders take
the tensors of a published file by their published names. A module is imported only when one of its
networks is loaded.
"""

LOADERS: dict[str, dict[str, str]] = {
    "encoder_backbone": {
        "demo": "brainit.features.encoder_backbone:build_encoder_backbone",
        "dinov2_vitl14_reg": "brainit.features.dinov2:load_dinov2",
    },
    "semantic_tokens": {
        "demo": "brainit.features.semantic_tokens:build_semantic_tokens",
        "openclip_vit_bigg14": "brainit.features.semantic_tokens:load_openclip",
    },
    "vgg": {
        "demo": "brainit.features.vgg:build_vgg",
        "vgg16_bn": "brainit.features.vgg:load_vgg16_bn",
    },
    "generator": {
        "demo": "brainit.features.generator:build_generator",
        "unclip6": "brainit.features.unclip:load_unclip6",
    },
    "refiner": {
        "zavychromaxl_v30": "brainit.features.refiner:load_sdxl_refiner",
    },
    "metric": {
        "demo": "brainit.features.residual_classifier:build_metric_network",
        "alexnet": "brainit.features.published_metrics:load_alexnet",
        "inception_v3": "brainit.features.published_metrics:load_inception_v3",
        "clip_vit_l14": "brainit.features.published_metrics:load_clip_vit_l14",
        "efficientnet_b1": "brainit.features.published_metrics:load_efficientnet_b1",
        "swav_resnet50": "brainit.features.published_metrics:load_swav_resnet50",
        "lpips_alex": "brainit.features.lpips:load_lpips",
    },
}
"""Role -> network -> loader. Keep it a literal: the code digest reads it from the source."""
