"""Linear models by scikit-learn, given back as plain weights for the raw features.

Logistic regression for classes, linear regression with Tikhonov alpha 0.01 for values
(arXiv 2602.10666), on standardised features. The same alpha on the logistic regression's
mean loss is ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge

from dyncp.probes.tasks import Task

_TIKHONOV = 0.01
_ITERATIONS = 300
MINIMUM_STD = 0.005
"""What varies less is left out."""


@dataclass(frozen=True)
class LinearModel:
    """Scores ``features @ weights.T + bias``.

    ``weights`` float64 ``[rows, features]``, ``bias`` float64 ``[rows]``: a row for each
    class, or one. ``importance`` float64 ``[features]``: the largest of the rows' weights
    on the standardised feature.
    """

    weights: np.ndarray
    bias: np.ndarray
    importance: np.ndarray

    def scores(self, features: np.ndarray) -> np.ndarray:
        """``[frames, features]`` to float64 ``[frames, rows]``."""
        return np.asarray(features.astype(np.float32) @ self.weights.T + self.bias)


def fit(task: Task, features: np.ndarray, labels: np.ndarray, classes: int) -> LinearModel:
    """Fit a task on the frames that have a label.

    ``classes``: how many noise classes there are; each has its row, also where no frame
    shows it. Where no feature varies, or all frames say the same, the bias alone gives
    the commoner answer or the mean. Without a label at all everything is 0.
    """
    scored = ~np.isnan(labels)
    x, y = features[scored].astype(np.float32), labels[scored]
    rows = classes if task.kind == "class" else 1
    if not len(y):
        return LinearModel(np.zeros((rows, x.shape[1])), np.zeros(rows), np.zeros(x.shape[1]))
    mean, std = x.mean(axis=0), x.std(axis=0)
    used = std > MINIMUM_STD
    if not used.any() or (y == y[0]).all():
        return LinearModel(
            np.zeros((rows, x.shape[1])), _constant(task, y, rows), np.zeros(x.shape[1])
        )
    standard = (x[:, used] - mean[used]) / std[used]
    if task.kind == "value":
        # float64: gates that are nearly alike make the normal equations ill-conditioned.
        ridge = Ridge(alpha=_TIKHONOV, copy_X=False)
        ridge.fit(standard.astype(np.float64), y.astype(np.float64))
        found, bias = ridge.coef_[None].astype(np.float64), np.array([ridge.intercept_])
    else:
        # scikit-learn weighs the summed loss; alpha is of the mean's.
        model = LogisticRegression(C=1 / (_TIKHONOV * len(y)), max_iter=_ITERATIONS)
        model.fit(standard, y.astype(int))
        found, bias = model.coef_.astype(np.float64), model.intercept_.astype(np.float64)
        if task.kind == "class":
            found, bias = _all_rows(model.classes_, found, bias, rows)
    weights = np.zeros((rows, x.shape[1]))
    weights[:, used] = found / std[used]
    importance = np.zeros(x.shape[1])
    importance[used] = np.abs(found).max(axis=0)
    return LinearModel(weights, bias - weights @ mean.astype(np.float64), importance)


def _constant(task: Task, labels: np.ndarray, rows: int) -> np.ndarray:
    if task.kind == "value":
        return np.array([labels.mean()], np.float64)
    if task.kind == "class":
        share = np.bincount(labels.astype(int), minlength=rows) / len(labels)
        return np.log(np.clip(share, 1e-3, None))
    share = np.clip(labels.mean(dtype=np.float64), 1e-3, 1 - 1e-3)
    return np.array([np.log(share / (1 - share))])


def _all_rows(
    present: np.ndarray, found: np.ndarray, bias: np.ndarray, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """A row for every class; those that were never seen can never be the largest."""
    if len(present) == 2:  # one row says which of the two
        found, bias = np.vstack([-found, found]) / 2, np.concatenate([-bias, bias]) / 2
    weights = np.zeros((rows, found.shape[1]))
    all_bias = np.full(rows, -1e3)
    weights[present], all_bias[present] = found, bias
    return weights, all_bias
