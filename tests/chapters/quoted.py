"""The claims of a chapter, as numbers.json has them."""

import json

import pandas as pd

from lensvit.chapters.quoting import Context


def quoted(claims, *tables, labels, cameras=None, models=(), durations=None, **config):
    """The part of numbers.json that a chapter's module ``claims`` makes of its tables; other keywords: config."""
    config["models"] = {name: {"label": label} for name, label in labels.items()}
    config["instruments"] = {name: {"label": label} for name, label in (cameras or {}).items()}
    context = Context(config, pd.DataFrame(), models, durations or {})
    return json.loads(json.dumps(claims.numbers(tables, context).model_dump(), allow_nan=False))
