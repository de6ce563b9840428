"""Table 1 of the original paper.

Huang et al. 2022, "Strong Gravitational Lensing Parameter Estimation with Vision
Transformer", arXiv:2210.04143: root-mean-square errors on its 1,200 test images, angles in
arcsec. Only the printed digits are known.
"""

from __future__ import annotations

# model -> target -> RMSE, as printed; "overall" first
PUBLISHED = {
    "vit": {
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
    "resnet": {
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
