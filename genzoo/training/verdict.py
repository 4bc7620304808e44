"""What a run came to, in plain words: core's own findings and the paragraph made of all of them. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

from genzoo.findings import DEAD_CODES, LEAST_SCALE, LEAST_USE, WEAK_GAIN, Evidence, Finding, LevelUse, Margin

RISING = 0.02
"""An epoch that still gains more than this part of what could be gained at most is not the last that a run should have."""


def core_findings(evidence: Evidence, *, report_setup: bool = False) -> list[Finding]:
    """Core's findings on a trained model, the most important first.

    Args:
        evidence: What was measured.
        report_setup: Whether this is the report's own set-up, the only one that its range of D/R is quoted for.
    """
    if evidence.alike:
        return [
            Finding("note", f"All images are the same, so there is nothing for the latents to say.{_state(evidence)}")
        ]
    if evidence.shifted:
        return [_shifted(evidence)]
    found: list[Finding] = []
    if evidence.overfitted:
        found.append(_overfitted(evidence))
    found.append(_of_use(evidence))
    found += _of_levels(evidence)
    found += _of_label(evidence)
    found += _of_training(evidence)
    healthy = all(finding.severity == "good" for finding in found)
    if report_setup and healthy and evidence.rate > 0:
        ratio = evidence.distortion / evidence.rate
        place = "within" if 10 <= ratio <= 50 else "outside"
        text = f"Distortion is {ratio:.1f} times the rate, {place} the 10 to 50 that the report calls healthy."
        found.append(Finding("good", text))
    return found


def paragraph(findings: Sequence[Finding]) -> str:
    """The findings as one paragraph, with all remedies in its last sentence.

    Example:
        >>> paragraph([Finding("fault", "The posterior has collapsed.", "A"), Finding("note", "β is 9.", "B")])
        'The posterior has collapsed. β is 9. Try A or B.'
    """
    remedies = list(dict.fromkeys(finding.remedy for finding in findings if finding.remedy))
    texts = [finding.text for finding in findings if finding.text]
    return " ".join([*texts, *([f"Try {_either(remedies)}."] if remedies else [])])


def _of_use(e: Evidence) -> Finding:
    """Whether the decoder needs the latents, and whether that gains anything."""
    if e.worse_than_constant:
        return _unlearned(e)
    if not e.used:
        return _unused(e)
    numbers = f"the rate is {e.rate:z.2f} nats per image{_units(e)}{_swap(e)}"
    if e.weak and not e.overfitted:
        text = f"The latents are hardly in use: {numbers}.{_state(e)}"
        return Finding("note" if e.early else "fault", text)
    return Finding("note" if e.overfitted else "good", f"The latents are in use: {numbers}.{_state(e)}")


def _unlearned(e: Evidence) -> Finding:
    assert e.baseline is not None
    text = (
        f"its distortion of {e.distortion:.2f} nats per image lies above the {e.baseline:.2f} of the best image that is the "
        f"same for every input. The rate is {e.rate:z.2f} nats{_swap(e)}."
    )
    if e.overfitted:
        return Finding("fault", f"On test images {text}")
    if e.early:
        return Finding("note", f"The model is not trained yet: {text} {e.steps} steps are few; train longer.")
    return Finding("fault", f"The model is not trained: {text}", "more --epochs or another --lr")


def _unused(e: Evidence) -> Finding:
    if e.sated:
        text = (
            "The latents are not in use, and nothing is left for them to say: the label alone says all that there is."
        )
        return Finding("note", f"{text}{_state(e)}")
    level = e.levels[0] if len(e.levels) == 1 else None
    idle = all(not item.varies for item in e.levels) if e.levels else True
    swap = _swap(e)
    if level is not None and level.codes is not None and idle:
        what, numbers = "The codebook has collapsed", f"{_codes(level)}{swap}, so the codes say nothing of the image"
    elif idle or e.rate < 1:
        what = "The posterior has collapsed"
        numbers = f"the rate is {e.rate:z.3f} nats per image{_units(e)}{swap}, so the model ignores its latents"
    else:
        what = "The decoder ignores its latents"
        numbers = f"the rate is {e.rate:.2f} nats per image{_units(e)}, spent for nothing{swap}"
    text = f"{numbers}.{_state(e)}"
    if e.early:
        return Finding(
            "note",
            f"The latents are not in use yet: {text} {e.steps} steps are too few to tell whether they will be; train "
            "longer.",
        )
    if e.flat:
        text += f" Under this likelihood images differ by {e.scale:.2f} nats at most."
    if e.noise:
        text += " No direction of the pixels varies more than another, as in noise: there is nothing for the latents to say."
        return Finding("note", f"{what}: {text}")
    if idle and e.rate >= 1 and (level is None or level.codes is None):
        text += " The posterior is the same for every image, and far from the prior."
        return Finding("fault", f"{what}: {text}", "a lower --lr")
    return Finding("fault", f"{what}: {text}")


def _shifted(e: Evidence) -> Finding:
    text = (
        f"The test images are unlike the training images, so that nothing else can be told: the best constant image has a "
        f"distortion of {e.train_baseline:.2f} on training images, which it is made of, and of {e.baseline:.2f} on test "
        f"images. The model has {e.distortion:.2f} on these."
    )
    return Finding("fault", text, "test images of the same kind, or all images together, divided by a seed")


def _overfitted(e: Evidence) -> Finding:
    assert e.gain is not None
    assert e.train_gain is not None
    train, test = e.train_gain.mean, e.gain.mean
    missing = f"{1 - test / train:.0%} of that is missing" if test > 0 else "all of that is missing"
    text = (
        f"The model is over-fitted: against the best constant image it gains {train:.1f} nats on training images and "
        f"{test:.1f} on test images, so that {missing}."
    )
    return Finding(
        "fault", text, "more training images, fewer --epochs, --holdout with --patience or a smaller network"
    )


def _of_levels(e: Evidence) -> list[Finding]:
    """What each level does, top first, and which of them are dead; of codes, how many are in use."""
    if len(e.levels) == 1:
        return _of_one_level(e, e.levels[0])
    if not e.levels or not e.used:
        return []
    parts: list[str] = []
    dead: list[str] = []
    for number, level in enumerate(e.levels, 1):
        name = f"level {number}" + (", the top" if number == 1 else "")
        does = f"{level.rate:z.2f} nats"
        if level.in_use is not None:
            does += f", {level.in_use} of {level.size} units"
        elif level.codes is not None:
            does += f", {level.used} of {level.codes} codes"
        parts.append(f"{name}: {does}")
        if level.dead:
            dead.append(name + ("," if number == 1 else ""))
    found = [Finding("good", f"{'; '.join(parts).capitalize()}.")]
    if dead:
        which, is_are = " and ".join(dead), "is" if len(dead) == 1 else "are"
        which = which[0].upper() + which[1:]
        if e.early:
            text = f"{which} {is_are} not in use yet; {e.steps} steps are too few to tell whether that lasts."
            return [*found, Finding("note", text)]
        found.append(Finding("fault", f"{which} {is_are} dead: the model does without."))
    return found


def _of_one_level(e: Evidence, level: LevelUse) -> list[Finding]:
    if not e.used:
        return []
    if level.codes is None:
        if level.in_use is not None and 0 < level.in_use < level.size / 2:
            idle = level.size - level.in_use
            return [Finding("good", f"The other {idle} say nothing of the image, which costs no rate.")]
        return []
    if not level.idle:
        return []
    unused = level.codes - level.used
    text = f"Most codes are idle: the perplexity is {level.perplexity:.1f} of {level.codes}."
    if unused > DEAD_CODES * level.codes:
        text = f"Most codes are dead: {unused} of {level.codes} never occur."
    return (
        [Finding("note", f"{text} {e.steps} steps are too few to tell whether they stay so.")]
        if e.early
        else [Finding("fault", text)]
    )


def _of_label(e: Evidence) -> list[Finding]:
    use = e.label_use
    if use is None or use.mean > max(LEAST_USE, _error(use), WEAK_GAIN * e.scale):
        return []
    how = "ignored" if use.mean <= LEAST_USE else "hardly read"
    text = f"The label is {how}: decoding with a wrong one costs {use.mean:z.2f} nats"
    if e.early:
        return [Finding("note", f"{text}, after {e.steps} steps.")]
    return [
        Finding(
            "fault",
            f"{text}.",
            "fewer latent dimensions or a higher weight of the rate, so that the label is worth reading, and look at the "
            "labels",
        )
    ]


def _of_training(e: Evidence) -> list[Finding]:
    """Whether the total is worth having, and whether training was over."""
    found: list[Finding] = []
    if e.wasteful:
        text = (
            f"The latents cost more than they save: the total of {e.distortion + e.rate:.2f} nats lies above "
            f"{e.baseline:.2f}, the distortion of the best constant image alone."
        )
        found.append(Finding("note", text))
    if e.overfitted:
        return found
    if e.trend is not None and e.scale > LEAST_SCALE and e.trend > RISING * e.scale:
        found.append(Finding("note", f"The last epoch still gained {e.trend:.2f} nats of elbo; train longer."))
    elif e.trend is None and e.epochs == 1 and not e.worse_than_constant and (e.used or not e.early):
        found.append(Finding("note", "One epoch is seldom enough; train longer."))
    return found


def _state(e: Evidence) -> str:
    """Distortion and elbo, and how far below a constant image's the former lies."""
    text = f" Distortion {e.distortion:.2f}, elbo {-(e.distortion + e.rate):.2f}"
    if e.baseline is None:
        return f"{text}."
    text += f"; the best constant image has a distortion of {e.baseline:.2f}"
    if e.floor is not None and e.scale > WEAK_GAIN:
        text += f", a perfect one of {e.floor:.2f}"
    return f"{text}."


def _units(e: Evidence) -> str:
    if len(e.levels) == 1 and e.levels[0].codes is not None:
        return f", {_codes(e.levels[0])}"
    counted = [level for level in e.levels if level.in_use is not None]
    if not counted:
        return ""
    return (
        f", {sum(level.in_use or 0 for level in counted)} of {sum(level.size for level in counted)} latent units in use"
    )


def _codes(level: LevelUse) -> str:
    return f"{level.used} of {level.codes} codes occur in {level.images} images, perplexity {level.perplexity:.1f}"


def _swap(e: Evidence) -> str:
    use = e.use
    return "" if use is None else f", and decoding the latents of another image costs {use.mean:z.2f} nats"


def _error(margin: Margin) -> float:
    return margin.error if math.isfinite(margin.error) else 0.0


def _either(texts: Sequence[str]) -> str:
    *first, last = texts
    return f"{', '.join(first)}{',' if len(first) > 1 else ''} or {last}" if first else last
