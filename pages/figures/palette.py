"""Colours and dashes (Okabe and Ito 2008): told apart with any colour vision, on light and on dark."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Palette:
    """Every class of thing has a colour here and a dash in DASH or a symbol in SYMBOL, so colour never stands alone."""

    shared: str
    arm: str
    mdm: str
    neutral: str
    faint: str
    text: str
    background: str

    def of(self, model: str) -> str:
        return self.arm if model == "arm" else self.mdm


LIGHT = Palette(
    shared="#009E73",
    arm="#0072B2",
    mdm="#D55E00",
    neutral="#6B7280",
    faint="#C9D0D8",
    text="#1F2933",
    background="#FFFFFF",
)
DARK = Palette(
    shared="#2DC08F",
    arm="#56B4E9",
    mdm="#E69F00",
    neutral="#9AA5B1",
    faint="#414C59",
    text="#E4E8EC",
    background="#12161C",
)

DASH = {"shared": "solid", "arm": "dash", "mdm": "dot"}
SYMBOL = {"input": "triangle-up", "head": "circle", "mlp": "square", "logits": "diamond"}
NAME = {"arm": "ARM", "mdm": "MDM"}


def palette_for(dark: bool) -> Palette:
    return DARK if dark else LIGHT


def transparent(colour: str, opacity: float) -> str:
    """A colour #RRGGBB that lets through what is behind it."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"
