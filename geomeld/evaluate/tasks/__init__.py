"""Tasks: labelled images that this project makes itself, from the simulated Earth, whose truth is known."""

from geomeld.evaluate.tasks.places import Places, places_of
from geomeld.evaluate.tasks.questions import QUESTIONS, Question
from geomeld.evaluate.tasks.simulated import SimulatedTask, simulated_task, simulated_tasks

__all__ = ["QUESTIONS", "Places", "Question", "SimulatedTask", "places_of", "simulated_task", "simulated_tasks"]
