"""Chains and other methods whose results are known."""

import pandas as pd

from lensvit.chapters.mcmc import claims
from lensvit.chapters.mcmc.table import mcmc_table
from lensvit.io.tables import PREDICTIONS, REFINED
from lensvit.parameters import TARGET_NAMES
from tests.builders import filled
from tests.chapters.quoted import quoted

LABELS = {"vit": "ViT", "resnet": "ResNet"}


def made_up(count=4, starts=("prior", "network")):
    """mcmc.parquet: chains from the priors fail for the second system, both do for the last."""
    rows = []
    for number in range(count):
        for start in starts:
            failed = number == count - 1 or (number == 1 and start == "prior")
            row = {"id": f"s{number}", "psf": "a", "instrument": ["hst", "keck"][number % 2]}
            row |= {"start": start, "converged": not failed, "reason": "short" if failed else "", "attempts": 1}
            row |= {"tau": 10.0, "steps": 500, "walkers": 28, "calls": 1000, "ess_bulk": 400.0, "ess_tail": 500.0}
            row |= {"burn_in": 200 if start == "prior" else 100}
            row |= {"seconds": 10.0 + 5 * failed, "chi_square": 1.0, "r_hat": 1.0}
            for name in TARGET_NAMES:
                row |= {f"{name}_truth": 1.0, f"{name}_mean": 1.2 if start == "prior" else 1.1, f"{name}_sigma": 0.1}
            rows.append(row)
    return pd.DataFrame(rows)


def tables(folder, name, chains=None, **options):
    path = folder / name
    if chains is not None:
        chains.to_parquet(path / "mcmc.parquet")
    options.setdefault("predictions", [folder / "vit.parquet"])
    mcmc_table(path / "mcmc.parquet", output=path / "mcmc.csv", chains=path / "chains.csv", **options)


def numbers_of(path, durations=None):
    chains = {"systems": 4, "attempts": 1, "samples": 10, "walkers": 28, "particles": 28}
    chains |= {"annealing_steps": 1, "tuning_steps": 10, "max_steps": 50}
    config = {"mcmc": {"enabled": True, "model": None, **chains}, "data": {"test": 100}}
    tables, cameras = (path / "mcmc.csv", path / "chains.csv"), {"hst": "HST", "keck": "Keck"}
    return quoted(claims, *tables, labels=LABELS, cameras=cameras, durations=durations, **config)["mcmc"]


def write_methods(tmp_path, starts=("prior", "network"), chains=None, **options):
    """The tables of four made-up systems with a network, refined fits and a limit."""
    (tmp_path / "t").mkdir()
    chains = made_up(starts=starts) if chains is None else chains
    ids = [f"s{number}" for number in range(6)]
    columns = {f"{name}_truth": 1.0 for name in TARGET_NAMES} | {f"{name}_sigma": 0.4 for name in TARGET_NAMES}
    network = pd.DataFrame({"id": ids, **columns, **{f"{name}_mean": 1.4 for name in TARGET_NAMES}})
    filled(network, PREDICTIONS).to_parquet(tmp_path / "vit.parquet")
    fits = network.assign(converged=[True, True, False, True, True, True], seconds=2.0)
    filled(fits, REFINED).to_parquet(tmp_path / "refined.parquet")
    bound = {f"{name}_known": 0.05 for name in TARGET_NAMES}
    valid = {"valid_known": [True, False] * 3}
    pd.DataFrame({"id": ids, "instrument": "hst", **bound, **valid}).to_parquet(tmp_path / "limit.parquet")
    tables(tmp_path, "t", chains, limit=tmp_path / "limit.parquet", refined=tmp_path / "refined.parquet", **options)
    return network
