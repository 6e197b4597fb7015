"""Stable-Baselines3's PPO on CartPole-v1, one seed: seconds and steps until the last 100 episodes average 475.

The settings are RL Baselines3 Zoo's for CartPole-v1; `knightwatch-lab cartpole --preset sb3` has the same. Only the
training is timed, not the imports. Prints one JSON object.
"""

import json
import sys
import time

import gymnasium
import stable_baselines3
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv

GOAL = 475.0
EPISODES = 100
# The zoo's length of a training; the schedules end there.
STEPS = 100_000


class UntilSolved(BaseCallback):
    """Stops the training when the last episodes reach the goal on average."""

    solved = False

    def _on_step(self) -> bool:
        # The average moves only where an episode ended.
        if self.locals["dones"].any():
            episodes = self.model.ep_info_buffer
            total = sum(episode["r"] for episode in episodes)
            self.solved = len(episodes) == EPISODES and total >= GOAL * EPISODES
        return not self.solved


def main() -> None:
    seed = int(sys.argv[1])
    torch.set_num_threads(1)
    environments = make_vec_env("CartPole-v1", n_envs=8, seed=seed, vec_env_cls=DummyVecEnv)
    model = PPO(
        "MlpPolicy",
        environments,
        seed=seed,
        device="cpu",
        n_steps=32,
        batch_size=256,
        n_epochs=20,
        gamma=0.98,
        gae_lambda=0.8,
        learning_rate=lambda remaining: 1e-3 * remaining,
        clip_range=lambda remaining: 0.2 * remaining,
        ent_coef=0.0,
        policy_kwargs={"net_arch": [64, 64], "activation_fn": torch.nn.Tanh},
    )
    callback = UntilSolved()
    wall, cpu = time.perf_counter(), time.process_time()
    model.learn(STEPS, callback=callback)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        json.dumps(
            {
                "seed": seed,
                "solved": callback.solved,
                "steps": model.num_timesteps,
                "seconds": wall,
                "cpu_seconds": cpu,
                "versions": {
                    "stable-baselines3": stable_baselines3.__version__,
                    "gymnasium": gymnasium.__version__,
                    "torch": torch.__version__,
                },
            }
        )
    )


main()
