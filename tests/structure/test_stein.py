"""Stein's identity by hand, by quadrature and by simulation."""

import numpy as np
import pytest

from palate.errors import InputError
from palate.structure import mean_hessian, normal_scores


def test_two_rows_by_hand() -> None:
    # Mean of f z0 z1 without control: (3·1·2 + 5·(-1)·4) / 2 = -7; the products' deviation is 13, over √2.
    z, y = np.array([[1.0, 2.0], [-1.0, 4.0]]), np.array([3.0, 5.0])
    found = mean_hessian(z, y, control=False)
    assert found.value_VV[0, 1] == found.value_VV[1, 0] == pytest.approx(-7)
    assert found.error_VV[0, 1] == pytest.approx(13 / np.sqrt(2))
    # On the diagonal the identity has z² - 1: (3·0 + 5·0) / 2.
    assert found.value_VV[0, 0] == pytest.approx(0)


def quadrature(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes of three standard Gaussian variables as rows, repeated as their weights say."""
    node, weight = np.polynomial.hermite_e.hermegauss(points)
    grid = np.stack(np.meshgrid(node, node, node), axis=-1).reshape(-1, 3)
    share = np.prod(np.stack(np.meshgrid(weight, weight, weight), axis=-1).reshape(-1, 3), axis=1)
    return grid, share / share.sum()


def test_the_identity_holds_exactly_for_polynomials() -> None:
    # f = 2 z0 z1 + z1 z2² + z0³: mean derivatives are 2 for 01, 0 for 02, E[2 z2] = 0 for 12.
    z, share = quadrature(6)
    f = 2 * z[:, 0] * z[:, 1] + z[:, 1] * z[:, 2] ** 2 + z[:, 0] ** 3
    # A weighted mean is a mean over rows whose values are N · weight · f.
    found = mean_hessian(z, len(z) * share * f, control=False).value_VV
    assert [found[0, 1], found[0, 2], found[1, 2]] == pytest.approx([2, 0, 0], abs=1e-9)
    assert found[1, 1] == pytest.approx(0, abs=1e-9)
    assert found[0, 0] == pytest.approx(0, abs=1e-9)  # E[6 z0] = 0


def test_correlated_variables_keep_their_own_graph() -> None:
    # f = z0 z1 + 3 z2 with z0 and z2 strongly correlated: only 01 is an edge, also where whitening would mix.
    covariance = np.array([[1.0, 0.2, 0.8], [0.2, 1.0, 0.1], [0.8, 0.1, 1.0]])
    z = np.random.default_rng(0).multivariate_normal(np.zeros(3), covariance, size=100_000)
    y = z[:, 0] * z[:, 1] + 3 * z[:, 2]
    found = mean_hessian(z, y, covariance_VV=covariance)
    wanted = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 0]])
    assert (np.abs(found.value_VV - wanted) < 4.5 * found.error_VV + 0.02)[~np.eye(3, dtype=bool)].all()
    naive = mean_hessian(z, y)
    assert abs(naive.value_VV[1, 2]) > 20 * naive.error_VV[1, 2]  # an edge that is none


def test_it_is_the_whitened_estimate_carried_back() -> None:
    rng = np.random.default_rng(1)
    root = np.array([[1.0, 0, 0], [0.5, 0.8, 0], [-0.3, 0.4, 0.9]])
    w, y = rng.standard_normal((500, 3)), rng.standard_normal(500)
    white = mean_hessian(w, y, control=False).value_VV
    back = np.linalg.inv(root)
    told = mean_hessian(w @ root.T, y, control=False, covariance_VV=root @ root.T).value_VV
    assert told == pytest.approx(back.T @ white @ back)


def test_standard_errors_against_the_products_themselves() -> None:
    rng = np.random.default_rng(2)
    z, y = rng.standard_normal((50, 3)), rng.standard_normal(50)
    covariance = np.eye(3) + 0.3
    u, p = z @ np.linalg.inv(covariance), np.linalg.inv(covariance)
    product = y[:, None, None] * (u[:, :, None] * u[:, None, :] - p)
    found = mean_hessian(z, y, control=False, covariance_VV=covariance)
    assert found.value_VV == pytest.approx(product.mean(axis=0))
    assert found.error_VV == pytest.approx(product.std(axis=0) / np.sqrt(50))


@pytest.mark.parametrize("count", [100, 1000])
def test_the_control_variate_takes_noise_off_and_little_else(count: int) -> None:
    rng = np.random.default_rng(3)
    gaps: list[list[float]] = []
    for _ in range(200):
        z = rng.standard_normal((count, 3))
        y = z[:, 0] * z[:, 1] + 2 * z[:, 2] + z[:, 0] ** 2
        gaps.append([mean_hessian(z, y, control=c).value_VV[0, 1] - 1 for c in (False, True)])
    plain, controlled = np.array(gaps).T
    assert -30 / count < controlled.mean() < 0.02  # three variables, and their fourth moments, by N
    assert controlled.std() < 0.6 * plain.std()


def test_normal_scores_by_hand() -> None:
    # Ranks 3, 1½, 1½, 4 of four: (rank - ½) / 4 = 5/8, ¼, ¼, 7/8.
    z = normal_scores(np.array([[5.0], [2.0], [2.0], [9.0]]))[:, 0]
    assert z == pytest.approx([0.318639, -0.674490, -0.674490, 1.150349], abs=1e-6)


@pytest.mark.parametrize(
    ("z", "y", "covariance", "said"),
    [
        (np.zeros((3, 2)), np.zeros(2), None, "do not fit"),
        (np.zeros((0, 2)), np.zeros(0), None, "do not fit"),
        (np.full((3, 2), np.nan), np.zeros(3), None, "finite"),
        (np.zeros((3, 2)), np.array([0.0, np.inf, 0.0]), None, "finite"),
        (np.zeros((3, 2)), np.zeros(3), np.ones((2, 2)), "singular"),
    ],
)
def test_bad_data_are_refused(z: np.ndarray, y: np.ndarray, covariance: np.ndarray | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        mean_hessian(z, y, covariance_VV=covariance)
