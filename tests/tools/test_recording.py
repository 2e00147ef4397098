"""The recording: the way of the mouse, and a picture that moves."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tools.recording import Shot, along, save


def test_the_mouse_ends_where_it_should_and_is_slow_at_both_ends() -> None:
    points = along((10.0, 100.0), (20.0, 80.0), steps=10)
    assert len(points) == 10 and points[-1] == (20.0, 80.0) and (10.0, 100.0) not in points
    steps = [later[0] - before[0] for before, later in zip([(10.0, 100.0), *points], points, strict=False)]
    assert min(steps) > 0 and steps[0] < steps[5] > steps[-1]


@pytest.mark.parametrize("ending", ["webp", "gif", "png"])
def test_a_recording_moves_and_keeps_how_long_each_frame_stays(tmp_path: Path, ending: str) -> None:
    shots = [Shot(Image.new("RGB", (40, 30), colour), stays) for colour, stays in (("red", 200), ("blue", 700))]
    file = tmp_path / "folder" / f"recording.{ending}"
    assert save(shots, file) == file.stat().st_size
    with Image.open(file) as picture:
        assert picture.n_frames == 2 and picture.info["loop"] == 0
        for shot in shots:
            picture.seek(shots.index(shot))
            picture.load()
            assert picture.info["duration"] == shot.stays
            shown, wanted = picture.convert("RGB").getpixel((5, 5)), shot.picture.getpixel((5, 5))
            assert max(abs(a - b) for a, b in zip(shown, wanted, strict=True)) < 10  # WebP rounds colours
