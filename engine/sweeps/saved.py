"""placeholder"""

from engine.sweeps.sweep_file import Sweep


def save(sweep: Sweep) -> None:
    return None
