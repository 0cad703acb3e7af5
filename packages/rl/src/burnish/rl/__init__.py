"""Rollout, reward, advantage and update: reinforcement learning as a burnish stage."""
