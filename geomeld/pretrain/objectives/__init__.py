"""The objectives of GeoMeld-FM, one file each; a run's loss is their weighted sum (paper eq. 8)."""

from geomeld.pretrain.objectives.contrast import Contrast
from geomeld.pretrain.objectives.jepa import Jepa
from geomeld.pretrain.objectives.objective import Additive, Joint
from geomeld.pretrain.objectives.reconstruction import Reconstruction

Objective = Reconstruction | Jepa | Contrast

OBJECTIVES: tuple[Objective, ...] = (Reconstruction(), Jepa(), Contrast())
"""L = L_MPMAE + 0.5 L_JEPA + 0.4 L_ITC (paper eq. 8 and 5.1)."""

__all__ = ["OBJECTIVES", "Additive", "Contrast", "Jepa", "Joint", "Objective", "Reconstruction"]
