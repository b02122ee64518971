"""J and F against numbers that the reference code of DAVIS-2017 gave on masks made by a formula; their properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vidseg.errors import DataError
from vidseg.evaluate import metrics

SIZES = ((480, 854), (64, 48), (37, 90), (5, 7), (300, 100), (121, 121), (17, 260), (200, 240))

# (seed, J, F) as computed by davis2017-evaluation (metrics.py: db_eval_iou, db_eval_boundary) on `case(seed)`.
RECORDED = (
    (0, 0.921298731662, 0.970768634882),
    (1, 0.920152091255, 0.974001081240),
    (2, 0.933734939759, 0.943402747775),
    (3, 0.909090909091, 0.976744186047),
    (4, 0.860458038500, 0.947907145674),
    (5, 0.824437883261, 0.907069861071),
    (6, 0.939663236670, 1.000000000000),
    (7, 0.940820064816, 0.991380457246),
    (8, 0.917454590694, 0.923387406701),
    (9, 0.609523809524, 0.613205291373),
    (10, 0.935075217736, 0.982129870130),
    (11, 0.818181818182, 1.000000000000),
    (12, 0.850046569388, 0.794272994925),
    (13, 0.849750340445, 0.967241437718),
    (14, 0.756503642040, 0.741171255479),
    (15, 0.928621908127, 0.983568907470),
    (16, 0.933623181121, 0.927173627888),
    (17, 0.870748299320, 0.948331101760),
    (18, 0.898959881129, 0.956365112385),
    (19, 0.263157894737, 0.982456140351),
    (20, 0.000000000000, 0.000000000000),  # nothing predicted
    (21, 0.000000000000, 0.000000000000),  # nothing there
    (22, 1.000000000000, 1.000000000000),  # neither
    (23, 0.000000000000, 0.000000000000),  # all of the truth is void
    (24, 0.414178376269, 0.000000000000),  # everything predicted: a mask without a boundary
    (25, 1.000000000000, 1.000000000000),  # everything predicted and true
    (26, 0.890593047035, 0.949108288379),
    (27, 0.727272727273, 1.000000000000),
)

# (n, mean, recall, decay) as computed by davis2017-evaluation (utils.py: db_statistics) on `default_rng(n).random(n)`.
RECORDED_STATISTICS = (
    (1, 0.511821624700, 1.000000000000, 0.000000000000),
    (2, 0.280051638832, 0.000000000000, -0.036879009165),
    (3, 0.374578046315, 0.333333333333, -0.640044628337),
    (4, 0.627865846998, 0.750000000000, 0.198651964392),
    (5, 0.493600271399, 0.600000000000, 0.636605815506),
    (9, 0.663824712091, 0.777777777778, -0.015001483197),
    (38, 0.476600892975, 0.473684210526, 0.083577225041),
    (98, 0.449602593428, 0.408163265306, -0.071628224969),
    (250, 0.493393191683, 0.484000000000, 0.005323177024),
)


def waves(seed: int, size: tuple[int, int]) -> np.ndarray:
    """A smooth (H, W) picture in about -1..1: six waves of seeded direction, length and phase."""
    draw = np.random.default_rng(seed).random((6, 4))
    y, x = np.mgrid[: size[0], : size[1]] / max(size)
    parts = [np.sin(2 * np.pi * ((8 * a - 4) * x + (8 * b - 4) * y + c)) * (0.5 + d) for a, b, c, d in draw]
    return np.sum(parts, axis=0) / 6


def case(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The predicted, true and (for odd seeds) void mask of a recorded case."""
    size = SIZES[seed % len(SIZES)]
    truth = waves(seed, size) > 0.1
    predicted = waves(seed, size) + (0.02 + 0.03 * (seed % 7)) * waves(seed + 1000, size) > 0.12
    if seed % 5 == 4:
        predicted = np.roll(truth, (seed % 4, 3), (0, 1))
    void = waves(seed + 2000, size) > 0.3 if seed % 2 else None
    if seed in (20, 22):
        predicted[:] = False
    if seed in (21, 22):
        truth[:] = False
    if seed == 23:
        void = truth.copy()
    if seed in (24, 25):
        predicted[:] = True
    if seed == 25:
        truth[:] = True
    return predicted, truth, void


def by_definition(predicted: np.ndarray, truth: np.ndarray, reach: float) -> float:
    """F from the distance of every boundary pixel to every other: slow, and plainly the definition."""
    a, b = np.argwhere(metrics.edges(predicted)), np.argwhere(metrics.edges(truth))
    if not len(a) or not len(b):
        return float(len(a) == len(b))
    near = ((a[:, None] - b[None]) ** 2).sum(-1) <= reach**2
    precision, recall = near.any(1).mean(), near.any(0).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize(("seed", "j", "f"), RECORDED)
def test_j_and_f_equal_the_reference_code(seed: int, j: float, f: float) -> None:
    predicted, truth, void = case(seed)
    assert metrics.region(predicted, truth, void) == pytest.approx(j, abs=1e-11)
    assert metrics.boundary(predicted, truth, void) == pytest.approx(f, abs=1e-11)


@pytest.mark.parametrize(("count", "mean", "recall", "decay"), RECORDED_STATISTICS)
def test_statistics_equal_the_reference_code(count: int, mean: float, recall: float, decay: float) -> None:
    found = metrics.statistics(np.random.default_rng(count).random(count))
    assert (found.mean, found.recall, found.decay) == pytest.approx((mean, recall, decay), abs=1e-11)


def test_decay_compares_the_true_quarters_of_a_long_video() -> None:
    found = metrics.statistics(np.linspace(1, 0, 1001))
    assert found.decay == pytest.approx(0.75, abs=1e-3)


def test_recall_does_not_count_a_frame_of_exactly_one_half() -> None:
    assert metrics.statistics(np.array([0.5, 0.5, 0.6, 0.4])).recall == 0.25


def test_statistics_of_no_frames_are_nan() -> None:
    found = metrics.statistics(np.array([]))
    assert np.isnan([found.mean, found.recall, found.decay]).all()


def test_frames_that_are_nan_do_not_count() -> None:
    assert metrics.statistics(np.array([0.2, np.nan, 0.6, np.nan])).mean == pytest.approx(0.4)


@given(st.integers(0, 10_000), st.integers(5, 60), st.integers(5, 60), st.sampled_from([0.008, 0.03, 0.1]))
@settings(max_examples=30, deadline=None)
def test_f_is_its_definition(seed: int, height: int, width: int, tolerance: float) -> None:
    truth, predicted = waves(seed, (height, width)) > 0.1, waves(seed + 1, (height, width)) > 0.1
    reach = np.ceil(tolerance * np.hypot(height, width))
    found = metrics.boundary(predicted, truth, tolerance=tolerance)
    assert found == pytest.approx(by_definition(predicted, truth, reach), abs=1e-12)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_j_is_the_same_for_mirrored_masks_and_f_nearly(seed: int) -> None:
    predicted, truth = (waves(seed + n, (60, 80)) > 0.1 for n in (0, 1))
    mirrored = [(predicted[::-1], truth[::-1]), (predicted[:, ::-1], truth[:, ::-1])]
    j, f = metrics.region(predicted, truth), metrics.boundary(predicted, truth)
    assert [metrics.region(a, b) for a, b in mirrored] == [j, j]
    # A boundary pixel lies half a pixel towards the origin, so a mirror image has slightly other boundaries.
    assert [metrics.boundary(a, b) for a, b in mirrored] == pytest.approx([f, f], abs=0.05)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_prediction_and_truth_may_be_swapped(seed: int) -> None:
    a, b = waves(seed, (50, 70)) > 0.1, waves(seed + 1, (50, 70)) > 0.1
    assert metrics.region(a, b) == metrics.region(b, a)
    assert metrics.boundary(a, b) == pytest.approx(metrics.boundary(b, a), abs=1e-12)


def test_void_pixels_do_not_change_a_right_answer() -> None:
    predicted, truth, _ = case(0)
    wrong = predicted ^ truth
    assert metrics.region(predicted, truth, wrong) == 1
    assert metrics.boundary(predicted, truth, wrong) == 1


def test_edges_lie_towards_the_origin_and_never_on_the_last_pixel() -> None:
    mask = np.zeros((4, 5), bool)
    mask[2:, 3:] = True
    expected = np.zeros((4, 5), bool)
    expected[1, 2:5] = expected[1:4, 2] = True
    assert np.array_equal(metrics.edges(mask), expected)


def test_score_takes_frames_and_objects_and_returns_one_number_for_each() -> None:
    truth = np.stack([[waves(t + 7 * o, (40, 50)) > 0.1 for o in range(2)] for t in range(3)])
    predicted = truth.copy()
    predicted[1, 0] = False
    j, f = metrics.score(predicted, truth)
    assert j.tolist() == [[1, 1], [0, 1], [1, 1]]
    assert f.tolist() == j.tolist()


def test_score_leaves_void_pixels_out() -> None:
    truth = np.zeros((1, 1, 20, 20), bool)
    truth[..., 4:12, 4:12] = True
    predicted, void = truth.copy(), np.zeros((1, 20, 20), bool)
    predicted[..., 15:, :] = void[:, 15:] = True
    assert [values.item() for values in metrics.score(predicted, truth, void)] == [1, 1]
    assert metrics.score(predicted, truth)[0].item() < 0.5


def test_masks_of_other_shapes_are_refused() -> None:
    a, b = np.zeros((4, 5), bool), np.zeros((5, 4), bool)
    with pytest.raises(DataError, match=r"masks of different shapes .* expected one \(H, W\)"):
        metrics.region(a, b)
    with pytest.raises(DataError, match=r"void \(5, 4\)"):
        metrics.boundary(a, a, b)
    with pytest.raises(DataError, match=r"expected \(T, O, H, W\)"):
        metrics.score(a, a)
