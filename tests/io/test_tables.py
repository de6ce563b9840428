"""Tables are read whole, or an error names them."""

import numpy as np
import pandas as pd
import pytest

from lensvit.errors import LensvitError
from lensvit.io import tables
from tests.builders import filled


def test_names_stay_text_and_only_numbers_may_lack(tmp_path):
    (tmp_path / "table.csv").write_text("model,variant,rmse,error\n1,,0.5,\nNA,raw,2,0.1\n")
    table = tables.read_csv(tmp_path / "table.csv", "model", "variant")
    assert table["model"].tolist() == ["1", "NA"] and table["variant"].tolist() == ["", "raw"]
    assert table["rmse"].tolist() == [0.5, 2] and table["error"].isna().tolist() == [True, False]


def test_absent_and_empty_tables_are_named(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    for name in ("empty.csv", "absent.csv"):
        with pytest.raises(LensvitError, match=f"there is no file .*{name}|{name} is truncated or broken"):
            tables.read_csv(tmp_path / name)


def test_what_a_job_took_stands_in_the_last_row(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text("s\th:m:s\tmax_rss\n1.5\t0:00:01\t-\n12.5\t0:00:12\tNA\n")
    took = tables.read_benchmark(path, "s", "max_rss")
    assert took["s"] == 12.5 and np.isnan(took["max_rss"])
    for text in ("h:m:s\n0:00:01\n", "s\n", ""):
        path.write_text(text)
        with pytest.raises(LensvitError, match=r"train\.tsv is truncated or broken"):
            tables.read_benchmark(path, "s")


def test_a_benchmark_without_a_time_is_named(tmp_path):
    path = tmp_path / "vit.tsv"
    path.write_text("s\tmax_rss\n-\t1\n")
    with pytest.raises(LensvitError, match=r"vit\.tsv is truncated or broken: .*\(it has no time in its column s\)"):
        tables.read_seconds(path)
    path.write_text("s\tmax_rss\n2\t1\n3\t-\n")  # a job that was tried again
    assert tables.read_seconds(path) == 3


def test_a_system_that_stands_twice_is_said(tmp_path):
    path = tmp_path / "vit.parquet"
    table = filled(pd.DataFrame({"id": ["a", "a"]}), tables.PREDICTIONS)
    table.to_parquet(path)
    with pytest.raises(LensvitError, match=r"vit\.parquet is truncated or broken: .*a stands in its column id twice"):
        tables.read_predictions([path])


@pytest.mark.parametrize(("column", "words"), [("converged", "more than true and false"), ("seconds", "no numbers")])
def test_a_column_of_another_kind_is_named(tmp_path, column, words):
    path = tmp_path / "vit.parquet"
    filled(pd.DataFrame({"id": ["a", "b"]}), tables.REFINED).assign(**{column: "x"}).to_parquet(path)
    with pytest.raises(LensvitError, match=rf"its column {column} holds {words}"):
        tables.read_refined(path)


def posteriors(**columns):
    """Two exact posteriors, of which one is certified."""
    rows = {"id": ["a", "b"], "certified": [True, False], "reason": ["", "few"]}
    return filled(pd.DataFrame(rows), tables.IMPORTANCE).assign(**columns)


def test_the_certified_posteriors_count(tmp_path):
    posteriors(gamma_sigma=[0.1, np.nan]).to_parquet(tmp_path / "exact.parquet")
    found = tables.read_importance(tmp_path / "exact.parquet")
    assert list(found.index) == ["a", "b"] and list(tables.certified(found).index) == ["a"]


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"reason": ["", "tired"]}, "its column reason holds 'tired' where certified is false"),
        ({"reason": ["", ""]}, "its column reason holds '' where certified is false"),
        ({"reason": ["few", "few"]}, "its column reason holds 'few' where certified is true"),
        ({"reason": [None, "few"]}, "its column reason holds (None|nan) where certified is true"),
        ({"gamma_sigma": [0.0, 0.1]}, "a counts and has no mean or no width of gamma"),
        ({"gamma_sigma": [-0.1, 0.1]}, "a counts and has no mean or no width of gamma"),
        ({"e1_sigma": [np.nan, 0.1]}, "a counts and has no mean or no width of e1"),
        ({"e1_mean": [np.inf, 0.1]}, "a counts and has no mean or no width of e1"),
        ({"id": ["a", "a"]}, "a stands in its column id twice"),
    ],
)
def test_a_posterior_that_cannot_be_is_refused(tmp_path, columns, why):
    posteriors(**columns).to_parquet(tmp_path / "exact.parquet")
    with pytest.raises(LensvitError, match=rf"exact\.parquet is truncated or broken: delete it .*{why}") as error:
        tables.read_importance(tmp_path / "exact.parquet")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("column", ["gamma_mean", "e1_sigma", "theta_E_truth"])
def test_predictions_that_are_not_finite_are_refused(tmp_path, column, value):
    table = filled(pd.DataFrame({"id": ["a", "b"]}), tables.PREDICTIONS)
    table.to_parquet(tmp_path / "vit.parquet")
    assert list(tables.read_predictions([tmp_path / "vit.parquet"])) == ["vit"]
    table.loc[1, column] = value
    table.to_parquet(tmp_path / "vit.parquet")
    with pytest.raises(LensvitError, match=rf"vit\.parquet .*its column {column} holds what is no finite number"):
        tables.read_predictions([tmp_path / "vit.parquet"])


def test_a_fit_that_has_converged_has_a_width(tmp_path):
    table = filled(pd.DataFrame({"id": ["a", "b"], "converged": [False, True]}), tables.REFINED)
    table.assign(e2_sigma=[0.0, 1.0]).to_parquet(tmp_path / "vit.parquet")
    assert list(tables.read_refined(tmp_path / "vit.parquet").index) == ["a", "b"]
    table.assign(e2_sigma=[1.0, 0.0]).to_parquet(tmp_path / "vit.parquet")
    with pytest.raises(LensvitError, match="b counts and has no mean or no width of e2"):
        tables.read_refined(tmp_path / "vit.parquet")


def test_truths_are_those_of_the_catalogue_to_the_last_bit():
    catalog = filled(pd.DataFrame({"id": ["a", "b"], "gamma": [2.0, 2.1]}), tables.CATALOG)
    table = catalog.set_index("id").add_suffix("_truth").iloc[::-1]
    tables.check_truths("exact.parquet", table, catalog)
    tables.check_truths("exact.parquet", table, catalog.iloc[:0])
    moved = table.assign(gamma_truth=np.nextafter(table["gamma_truth"], 9))
    with pytest.raises(LensvitError, match=r"exact.parquet is of other systems than the catalogue: delete it and run"):
        tables.check_truths("exact.parquet", moved, catalog)
