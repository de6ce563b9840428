"""What the attention does, in numbers."""

import numpy as np
import pytest

from lensvit.chapters.data import attention, claims
from lensvit.errors import LensvitError

TOKENS = 5  # the class token and four patches


def weights(*heads):
    """Attention (1, n, heads, tokens, tokens) of one layer in which all tokens look alike, from (n, tokens) each."""
    rows = np.stack(heads, 1)[None, :, :, None, :]
    return np.broadcast_to(rows, (*rows.shape[:3], TOKENS, TOKENS)).astype(float)


def measured(*layers):
    whole = np.concatenate(layers)
    found = attention.Attention(whole[:, :, :, 0], attention.rollout(whole))
    return attention.table(found).set_index(["layer", "map"])


EVEN = [[0.2] * 5] * 2
ONE = [[0.5, 0.5, 0, 0, 0]] * 2  # half of it on the class token, the other half on the first patch
OTHERS = [[0, 0, 0.5, 0.5, 0], [0, 0, 0, 0, 1.0]]  # two patches in one system, another in the other


def test_a_head_that_spreads_and_heads_that_do_not():
    rows = measured(weights(EVEN, ONE, OTHERS))
    columns = ["systems", "patches", "strongest", "entropy", "effective", "same", "itself"]
    assert rows.loc[(1, "1"), columns].tolist() == pytest.approx([2, 4, 0.25, 1, 4, 1, 0.2])
    assert rows.loc[(1, "2"), columns].tolist() == pytest.approx([2, 4, 1, 0, 1, 1, 0.5])
    assert rows.loc[(1, "3"), columns].tolist() == pytest.approx([2, 4, 0.75, 0.25, 1.5, 0.5, 0])


def test_the_mean_of_heads_that_look_elsewhere_spreads_more():
    rows = measured(weights([[0, 1, 0, 0, 0]], [[0, 0, 1, 0, 0]]))
    assert rows.loc[(1, "mean"), ["strongest", "effective"]].tolist() == pytest.approx([0.5, 2])
    assert rows.loc[(1, "1"), "effective"] == pytest.approx(1)


def test_rollout_of_two_layers():
    """Of the class token a quarter stays itself; the patches have what each layer sends to them."""
    first, last = [[0, 1, 0, 0, 0]], [[0, 0, 1, 0, 0]]
    rolled = attention.rollout(np.concatenate([weights(first), weights(last)]))
    # half of the last layer's: itself and patch 2; then half of each of these is what the first layer sends: patch 1
    assert rolled == pytest.approx(np.array([[0.25, 0.5, 0.25, 0, 0]]))
    many = np.random.default_rng(1).dirichlet(np.ones(TOKENS), (3, 2, 4, TOKENS))
    mixed = (many.mean(2) + np.eye(TOKENS)) / 2
    assert attention.rollout(many) == pytest.approx((mixed[2] @ mixed[1] @ mixed[0])[:, 0])
    assert attention.rollout(many).sum(-1) == pytest.approx(1)


@pytest.mark.parametrize("column", ["layer", "map", "systems", "patches", "strongest", "entropy", "effective", "same"])
def test_a_table_that_lacks_a_column_or_rows_is_one_line(tmp_path, column):
    path = tmp_path / "attention.csv"
    whole = measured(weights(EVEN, ONE)).reset_index()
    for table, said in ((whole.drop(columns=column), rf"lacks the column {column}\b"), (whole.iloc[:0], "no rows")):
        table.to_csv(path, index=False)
        with pytest.raises(LensvitError, match=rf"attention\.csv .*{said}"):
            claims.attention(path, -1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.assign(same="most"), "could not convert string to float: 'most'"),
        (lambda table: table.assign(entropy=np.inf), "not those of an attention map"),
        (lambda table: table[table["map"] != "rollout"], "not those of an attention map"),
        (lambda table: table.assign(map="first"), "not those of an attention map"),
        (lambda table: table[table["map"] != "mean"], "it lacks layer 1"),
        (lambda table: table[~table["map"].isin(["1", "2"])], "it lacks layer 1"),
    ],
)
def test_a_table_of_something_else_is_one_line(tmp_path, change, said):
    path = tmp_path / "attention.csv"
    change(measured(weights(EVEN, ONE)).reset_index()).to_csv(path, index=False)
    with pytest.raises(LensvitError, match=rf"attention\.csv .*{said}") as error:
        claims.attention(path, -1)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("layers", "layer", "number", "collapsed", "everywhere", "share", "same"),
    [
        ([[EVEN, EVEN], [ONE, EVEN]], -1, 2, [1], 1, 1, 1),
        ([[EVEN, EVEN], [ONE, EVEN]], 0, 1, [], 1, None, None),
        ([[EVEN, EVEN], [OTHERS, ONE]], 1, 2, [1, 2], 2, 0.75, 0.5),
        ([[ONE]], -1, 1, [1], 1, 1, 1),
        ([[EVEN], [EVEN], [EVEN]], -3, 1, [], 0, None, None),
    ],
)
def test_which_heads_have_collapsed(tmp_path, layers, layer, number, collapsed, everywhere, share, same):
    measured(*(weights(*heads) for heads in layers)).reset_index().to_csv(tmp_path / "attention.csv", index=False)
    found = claims.attention(tmp_path / "attention.csv", layer)
    assert (found.layer, found.layers, found.heads) == (number, len(layers), len(layers[0]))
    assert (found.collapsed, found.collapsed_everywhere) == (collapsed, everywhere)
    assert (found.share, found.same) == (share, same)
    assert (found.systems, found.patches) == (2, 4)
    assert found.single.effective >= 1 and found.rollout.strongest <= 1
