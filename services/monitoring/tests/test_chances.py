# SPDX-License-Identifier: Apache-2.0
"""Our few tail functions say what SciPy says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlops.monitoring.model.chances import adjusted, chi2_quantile, chi2_tail, two_sided

DEGREES = [0.5, 1, 2.7, 9, 20, 99.5, 400]


@pytest.mark.parametrize("z", [0.0, 0.3, -1.96, 5, -12])
def test_two_sided_normal_tail(z: float) -> None:
    assert two_sided(z) == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-12)


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("ratio", [0.01, 0.5, 1.0, 1.5, 3.0, 6.0])
def test_chi_square_tail(degrees: float, ratio: float) -> None:
    x = degrees * ratio

    assert chi2_tail(x, degrees) == pytest.approx(stats.chi2.sf(x, degrees), rel=1e-8, abs=1e-14)


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("chance", [0.001, 0.1, 0.5, 0.95, 0.999])
def test_chi_square_quantile(degrees: float, chance: float) -> None:
    expected = stats.chi2.ppf(chance, degrees)

    assert chi2_quantile(chance, degrees) == pytest.approx(expected, rel=1e-7, abs=1e-12)


def test_nothing_below_zero_is_surprising() -> None:
    assert chi2_tail(0.0, 3) == 1.0
    assert chi2_tail(5e-324, 3) == 1.0  # half of the smallest number there is is none


def test_nothing_exceeds_infinity() -> None:
    assert chi2_tail(float("inf"), 3) == 0.0


@pytest.mark.parametrize("count", [1, 2, 10, 50])
def test_corrected_p_values_are_those_of_benjamini_and_hochberg(count: int) -> None:
    p = np.random.default_rng(count).random(count) ** 3

    assert adjusted(list(p)) == pytest.approx(list(stats.false_discovery_control(p)))


def test_no_tests_need_no_correction() -> None:
    assert adjusted([]) == []
