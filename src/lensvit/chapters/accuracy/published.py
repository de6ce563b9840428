"""What Huang et al. 2022 (arXiv:2210.04143) published, as data.

Table 1 of the paper; sizes and settings from its text and from the authors' repository
(https://github.com/kuanweih/strong_lensing_vit_resnet, commit 4392b4e).
"""

from __future__ import annotations

from typing import Any

# Root mean squared errors on the test set of 1,200; arcsec for theta_E, the centre and R_sersic.
PUBLISHED = {
    "published_vit": {
        "overall": 0.1232,
        "theta_E": 0.0302,
        "gamma": 0.0789,
        "center_x": 0.0033,
        "center_y": 0.0036,
        "e1": 0.0278,
        "e2": 0.0206,
        "R_sersic": 0.0241,
        "n_sersic": 0.0790,
    },
    "published_resnet": {
        "overall": 0.1476,
        "theta_E": 0.0221,
        "gamma": 0.0816,
        "center_x": 0.0165,
        "center_y": 0.0169,
        "e1": 0.0364,
        "e2": 0.0347,
        "R_sersic": 0.0487,
        "n_sersic": 0.0959,
    },
}
PUBLISHED_COLUMNS = {"published_vit": "ViT", "published_resnet": "ResNet152"}

# The published model that a model of each family is held against.
REFERENCES = {"transformer": "published_vit", "convolutional": "published_resnet"}

ORIGINAL: dict[str, Any] = {
    "train": 27000,
    "validation": 3000,
    "test": 1200,
    "passes": 1000,
    "image_size": 224,
    "batch_size": 20,
    "learning_rate": 1e-3,
    "epochs": 100,
    "dropout": 0.1,
    "models": [
        {
            "key": "published_vit",
            "architecture": "google/vit-base-patch16-224",
            "parameters": 85_810_960,
            "printed_parameters": 85_814_036,
            "best_epoch": 41,
            "best_mse": 0.2009,
        },
        {
            "key": "published_resnet",
            "architecture": "resnet152",
            "parameters": 58_176_592,
            "printed_parameters": None,
            "best_epoch": 51,
            "best_mse": 0.4830,
        },
    ],
}
