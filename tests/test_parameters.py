"""The table of parameters: its targets come first."""

import pytest

from lensvit.parameters import NAMES, PARAMETERS, TARGET_COLUMNS, TARGET_NAMES, TARGETS, leading_targets


def test_the_targets_are_the_first_parameters():
    assert NAMES[: len(TARGETS)] == TARGET_NAMES
    assert list(TARGET_COLUMNS) == list(range(8))


def test_a_table_whose_targets_are_not_its_first_rows_is_refused():
    with pytest.raises(ValueError, match="first parameters"):
        leading_targets([PARAMETERS[-1], *PARAMETERS[:-1]])
