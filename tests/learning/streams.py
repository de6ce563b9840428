"""A stream for the tiny run: the settings of its simulation."""

CAMERAS = {"hst_a": (24, 0.25), "keck_a": (48, 0.125)}  # those of the tiny run
STORED = 48  # training systems of each
SCENE = {
    "source_amp": 5000.2, "source_e1": 0.0, "source_e2": 0.5, "lens_amp": 1000.0, "quasar_amp": 1500.0,
    "max_images": 4, "exposure": 1000.0, "sigma_bkg_low": 0.04, "sigma_bkg_high": 4.0,
}  # fmt: skip


def options(name):
    pixels, scale = CAMERAS[name]
    return {
        "seed": 11, "name": name, "supersampling": 1, "external_shear": True, "priors": {}, "scene": SCENE,
        "instrument": {"pixels": pixels, "pixel_scale": scale},
    }  # fmt: skip
