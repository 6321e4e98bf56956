"""REINFORCE on the gymnasium environment, in one page: a linear softmax policy over hashed words, numpy alone.

It shows the interface, not a good learner: no warm-up, a running mean as baseline, plain gradient ascent on whole
conversations. ``python docs/examples/reinforce.py experiments/inspired_rl.toml --episodes 300``
"""

from __future__ import annotations

import argparse
import zlib

import numpy as np

from harness.gym import CRSPlannerEnv

WORDS = 2048


def features(text: str) -> np.ndarray:
    """(WORDS,) hashed bag of words with the turn number, of length 1."""
    counts = np.zeros(WORDS)
    for word in text.lower().split():
        counts[zlib.crc32(word.encode()) % WORDS] += 1.0
    return counts / max(np.linalg.norm(counts), 1e-9)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiment")
    parser.add_argument("--episodes", type=int, default=300)
    parser.add_argument("--learning-rate", type=float, default=0.5)
    parser.add_argument("--gamma", type=float, default=0.99)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw = np.random.default_rng(options.seed)
    env = CRSPlannerEnv(options.experiment)
    weights_KW = np.zeros((len(env.strategies), WORDS))
    baseline, returns = 0.0, []
    for episode in range(options.episodes):
        text, _ = env.reset(seed=options.seed + episode)
        steps, done, missing = [], False, False
        while not done:
            x = features(text)
            logits = weights_KW @ x
            p = np.exp(logits - logits.max())
            p /= p.sum()
            action = int(draw.choice(len(p), p=p))
            text, reward, terminated, truncated, info = env.step(action)
            steps.append((x, p, action, reward))
            missing = missing or info["missing"]
            done = terminated or truncated
        if missing:
            continue
        reached = 0.0
        for x, p, action, reward in reversed(steps):
            reached = reward + options.gamma * reached
            direction = -p
            direction[action] += 1.0
            weights_KW += options.learning_rate * (reached - baseline) * np.outer(direction, x) / len(steps)
        returns.append(reached)
        baseline += (reached - baseline) / min(len(returns), 50)
        if len(returns) % 20 == 0 or episode == options.episodes - 1:
            print(f"{episode + 1} episodes, mean return of the last 20: {np.mean(returns[-20:]):.3f}")
    env.close()


if __name__ == "__main__":
    main()
