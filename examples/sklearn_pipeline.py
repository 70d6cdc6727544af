"""Use a network as a scikit-learn classifier: in pipelines, cross-validation and searches.

    python examples/sklearn_pipeline.py

`TorchClassifier` passes every check of scikit-learn's `check_estimator`.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from trackside import Trainer


class TorchClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """A multilayer perceptron, trained by a `trackside.Trainer`.

    Args:
        hidden: width of each hidden layer.
        epochs: passes over the training data.
        batch_size: samples in a step of the optimizer.
        learning_rate: of AdamW.
        handlers: names of published handlers, such as "stop_on_nan".
        random_state: seed of the first weights and of the order of the samples. The global
            random state is neither read nor written.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (64,),
        epochs: int = 30,
        batch_size: int = 32,
        learning_rate: float = 3e-3,
        handlers: Sequence[str] = (),
        random_state: Any = None,
    ) -> None:
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.handlers = handlers
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> "TorchClassifier":  # noqa: N803  # scikit-learn's names
        """Train a new network on X `(n_samples, n_features)` and the classes y `(n_samples,)`."""
        X, y = validate_data(self, X, y, dtype=np.float64)  # noqa: N806
        check_classification_targets(y)
        self.classes_, targets = np.unique(y, return_inverse=True)
        seed = check_random_state(self.random_state).randint(2**31)
        generator = torch.Generator().manual_seed(int(seed))
        widths = (X.shape[1], *self.hidden, len(self.classes_))
        self.model_ = _perceptron(widths, generator)
        optimizer = torch.optim.AdamW(self.model_.parameters(), self.learning_rate)
        data = TensorDataset(torch.tensor(X), torch.tensor(targets))
        loader = DataLoader(data, self.batch_size, shuffle=True, generator=generator)
        trainer = Trainer(self.model_, nn.CrossEntropyLoss(), optimizer, self.handlers)
        trainer.fit(loader, epochs=self.epochs)
        return self

    def predict_proba(self, X: Any) -> Any:  # noqa: N803
        """Probability of each class, `(n_samples, n_classes)`, columns in order of `classes_`."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float64, reset=False)  # noqa: N806
        scores = Trainer(self.model_).predict([torch.tensor(X)])
        return scores.softmax(1).numpy()

    def predict(self, X: Any) -> Any:  # noqa: N803
        """The most probable class of each sample, `(n_samples,)`."""
        likeliest = self.predict_proba(X).argmax(1)
        return self.classes_[likeliest]


def _perceptron(widths: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layer = nn.Linear(inputs, outputs, dtype=torch.float64, device="meta")
        layer.to_empty(device="cpu")
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


if __name__ == "__main__":
    images, digits = load_digits(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), TorchClassifier(random_state=0))
    print("accuracy of each fold:", cross_val_score(pipeline, images, digits, cv=5).round(3))
