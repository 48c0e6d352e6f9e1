"""What a measurement gives: pairs of neighbours, their ratios, and whether a target is met."""
import statistics


class Broken(Exception):
    """Something that was to be measured did not run."""


def percentile(values, percent):
    ordered = sorted(values)
    place = (len(ordered) - 1) * percent / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def spread(values):
    return {"median": statistics.median(values), "p10": percentile(values, 10), "p90": percentile(values, 90)}


class Figure:
    """One line of the table: `top` divided by `bottom`, pair by pair."""

    def __init__(self, name, top, bottom, unit, limit=None, at_least=False):
        self.name, self.unit, self.limit, self.at_least = name, unit, limit, at_least
        (self.top_label, self.top), (self.bottom_label, self.bottom) = top, bottom
        self.ratios = [a / b for a, b in zip(self.top, self.bottom)]

    def target(self):
        return "" if self.limit is None else f"{'≥' if self.at_least else '≤'} {self.limit:g}"

    def ratio_of_medians(self):
        return statistics.median(self.top) / statistics.median(self.bottom)

    def met(self):
        """"met" and "not met" are said only where both ways to compare agree."""
        if self.limit is None:
            return None
        ratios = [statistics.median(self.ratios), self.ratio_of_medians()]
        held = [ratio >= self.limit if self.at_least else ratio <= self.limit for ratio in ratios]
        return "unclear" if held[0] != held[1] else "met" if held[0] else "not met"

    def row(self):
        def text(values, digits):
            s = spread(values)
            return f"{s['median']:.{digits}f} ({s['p10']:.{digits}f}–{s['p90']:.{digits}f})"

        def side(label, values):
            if not label:
                return f"{values[0]:g} {self.unit}"
            return f"{label} {text(values, 2 if statistics.median(values) < 100 else 0)} {self.unit}"

        return [self.name, str(len(self.ratios)), side(self.top_label, self.top), side(self.bottom_label, self.bottom),
                text(self.ratios, 2), f"{self.ratio_of_medians():.2f}", self.target(), self.met() or ""]

    def as_json(self):
        sides = {"numerator": (self.top_label, self.top), "denominator": (self.bottom_label, self.bottom)}
        return {
            "name": self.name, "n": len(self.ratios), "unit": self.unit,
            **{key: {"what": label or "limit", **spread(values)} for key, (label, values) in sides.items()},
            "ratio": spread(self.ratios), "ratio_of_medians": self.ratio_of_medians(),
            "target": self.target() or None, "met": self.met(),
        }
