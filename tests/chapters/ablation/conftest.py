import pytest
import yaml

from tests.chapters.ablation.makers import SCORES, names, write_network


@pytest.fixture
def run(tmp_path):
    groups = []
    for (model, variant), scores in SCORES.items():
        label = None if variant is None else f"only {variant}"
        recipe = {None: "better", "paper": "paper"}.get(variant)
        networks = names(model, variant, scores)
        groups.append(
            {
                "model": model, "model_label": model.upper(), "variant": variant, "label": label, "recipe": recipe,
                "networks": networks,
            }
        )  # fmt: skip
        for name, score in zip(networks, scores, strict=True):
            write_network(tmp_path, name, score, seconds=10.0 * len(name))
    settings = {"run": "abl", "data": {"train": 40, "validation": 4, "test": 6}, "passes": 7, "options": groups}
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings))
    return tmp_path
