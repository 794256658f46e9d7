"""Scale: images are normalised band by band, and what is missing is the mean."""

import numpy as np
import pytest

from geomeld.core.errors import UsageError
from geomeld.evaluate.scale import Scale


def test_statistics_of_pretraining_normalise_band_by_band() -> None:
    scale = Scale.of_pretraining(["B4", "B3"], [100, 200], [10, 50])
    assert (scale.bands, scale.source) == (("B4", "B3"), "pretraining")
    scaled = scale(np.full((2, 1, 1), 300, np.float32), np.array([True, False]))
    assert scaled.ravel().tolist() == [20, 0]


@pytest.mark.parametrize(("mean", "std"), [((1,), (1, 2)), ((1, 2), (1,)), ((1, 2, 3), (1, 2, 3))])
def test_every_band_has_a_mean_and_a_deviation(mean, std) -> None:
    with pytest.raises(UsageError, match="2 bands need as many means and deviations"):
        Scale.of_pretraining(["B4", "B3"], mean, std)
