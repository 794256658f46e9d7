"""Tasks: labelled images that this project makes itself, from the simulated Earth, whose truth is known."""

from geomeld.evaluate.tasks.places import Places, places_of
from geomeld.evaluate.tasks.questions import QUESTIONS, Question
from geomeld.evaluate.tasks.simulated import SimulatedTask, not_asked, simulated_tasks

__all__ = ["QUESTIONS", "Places", "Question", "SimulatedTask", "not_asked", "places_of", "simulated_tasks"]
