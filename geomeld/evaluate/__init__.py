"""Evaluation: a checkpoint held against tasks, each number beside the chance or baseline that gives it meaning."""
