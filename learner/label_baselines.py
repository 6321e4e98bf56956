"""The baselines on human labels: the majority, and TF-IDF with logistic regression.

Both learn from the same states and the same soft targets as the planner and are measured alike; TF-IDF reads the same
text, without a token budget.
"""

from __future__ import annotations

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from learner.labels import LabelledStates, Matrix
from learner.state_text import state_text

_FLOOR = 1e-6
"""Probability of a strategy that no training turn has; without it one rare label makes the NLL infinite."""


def majority(train: LabelledStates, test: LabelledStates) -> Matrix:
    """(N, K): the training turns' mean target for every test state, one pseudo-turn spread over all strategies."""
    k = train.targets_NK.shape[1]
    prior = (train.targets_NK.sum(axis=0) + 1.0 / k) / (len(train) + 1.0)
    return np.tile(prior, (len(test), 1))


def tfidf_logreg(train: LabelledStates, test: LabelledStates) -> Matrix:
    """(N, K): multinomial logistic regression (C = 1) on sublinear TF-IDF of unigrams; a soft target is one example a
    label, weighted by its share."""
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    seen = vectorizer.fit_transform([state_text(state).text for state in train.states])
    rows, labels = np.nonzero(train.targets_NK)
    probabilities = np.full((len(test), train.targets_NK.shape[1]), _FLOOR)
    if len(np.unique(labels)) == 1:  # nothing to tell apart, which the solver refuses
        probabilities[:, labels[0]] += 1.0
    else:
        model = LogisticRegression(C=1.0, max_iter=2000)
        model.fit(seen[rows], labels, sample_weight=train.targets_NK[rows, labels])
        texts = [state_text(state).text for state in test.states]
        probabilities[:, model.classes_] += model.predict_proba(vectorizer.transform(texts))
    normalised: Matrix = probabilities / probabilities.sum(axis=1, keepdims=True)
    return normalised
