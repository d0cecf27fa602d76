"""hit@k and hp@k over k, a small panel for each label set, as SVG whose colours are the page's."""

import math
from dataclasses import dataclass

from zeroshot.evaluation.metrics import KS
from zeroshot.evaluation.model_names import display_name
from zeroshot.labels.label_sets import in_order
from zeroshot.report.papers import as_printed
from zeroshot.report.scores import Figures, models_on

WIDTH, HEIGHT = 300, 210  # of a panel, in its own units
LEFT, RIGHT, TOP, BOTTOM = 38, 10, 10, 26  # its margins
TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.25)


@dataclass(frozen=True)
class Line:
    """One model's curve: its number among the models, points "x,y x,y ...", what it is called and says."""

    model: int
    points: list[tuple[float, float]]
    title: str

    @property
    def path(self) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in self.points)


@dataclass(frozen=True)
class Panel:
    """One metric on one label set. Ticks are (place, text); `chance` is what guessing gives, as a path."""

    metric: str
    label_set: str
    lines: list[Line]
    across: list[tuple[float, str]]
    up: list[tuple[float, str]]
    chance: str


def panels(ours: Figures, models: list[str]) -> list[Panel]:
    """A panel for each metric and label set that any model was tested on."""
    return [panel(ours, metric, name, models) for metric in ("hit", "hp")
            for name in in_order({key[1] for key in ours})
            if models_on(ours, name, models)]


def panel(ours: Figures, metric: str, label_set: str, models: list[str]) -> Panel:
    tested = models_on(ours, label_set, models)
    values = {model: [ours[model, label_set, metric, k] for k in KS] for model in tested}
    step = step_for(max(map(max, values.values())))
    top = step * max(1, math.ceil(max(map(max, values.values())) / step - 1e-9))
    lines = [Line(models.index(model), [(x_of(k), y_of(value, top)) for k, value in zip(KS, given, strict=True)],
                  f"{display_name(model)}: " + ", ".join(f"{as_printed(metric, value)} at {k}"
                                                         for k, value in zip(KS, given, strict=True)))
             for model, given in values.items()]
    candidates = max(ours[model, label_set, "candidates", None] for model in tested)
    guessed = [(k, k / candidates) for k in KS if metric == "hit" and k / candidates <= top]
    return Panel(metric, label_set, lines, [(x_of(k), str(k)) for k in KS],
                 [(y_of(tick * step, top), _tick(metric, tick * step)) for tick in range(round(top / step) + 1)],
                 " ".join(f"{x_of(k):.1f},{y_of(value, top):.1f}" for k, value in guessed))


def step_for(highest: float) -> float:
    """Distance between ticks: of TICKS the first that needs no more than five."""
    return next((step for step in TICKS if highest <= 5 * step), TICKS[-1])


def x_of(k: int) -> float:
    """k on a logarithmic scale."""
    return LEFT + (WIDTH - LEFT - RIGHT) * math.log(k) / math.log(KS[-1])


def y_of(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top


def _tick(metric: str, value: float) -> str:
    return f"{100 * value:.3g}%" if metric == "hit" else f"{value:.3g}"
