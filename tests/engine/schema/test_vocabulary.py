"""What is named once is what everybody uses, and what is stored keeps its name."""

from __future__ import annotations

from engine.inspection import bins
from engine.models.samplers import SAMPLERS as CHOOSERS
from engine.schema import vocabulary
from pages.panels.denoising_data import SAMPLERS as EXPLAINED


def test_stored_names_never_change() -> None:
    """Bundles and caches of before hold them."""
    assert vocabulary.COMMON_PARTS == ("total", "half-a", "half-b")
    assert vocabulary.REGIONS == ("prompt", "answer", "readout")
    assert (vocabulary.site_part(3), vocabulary.step_part(12)) == ("site-03", "step-12")


def test_every_sampler_is_there_and_explained() -> None:
    assert tuple(CHOOSERS) == tuple(EXPLAINED) == vocabulary.SAMPLERS


def test_bins_fill_the_line_and_blocks_split_into_halves() -> None:
    assert len(bins.EDGES) == vocabulary.BINS + 1
    assert vocabulary.BLOCKS % 2 == 0
