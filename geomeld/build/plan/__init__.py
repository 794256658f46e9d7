"""Plan: the scenes of every anchor, chosen in a hierarchy and without a pixel."""

from geomeld.build.plan.row import Plan, PlanRow, plan_writer, read_plan, row_json, scene_json, write_plan
from geomeld.build.plan.tile import plan_tile

__all__ = ["Plan", "PlanRow", "plan_tile", "plan_writer", "read_plan", "row_json", "scene_json", "write_plan"]
