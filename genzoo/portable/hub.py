"""A folder for the Hugging Face Hub: weights, recipe, record, and a model card."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from genzoo import storage
from genzoo.errors import GenzooError, UsageError
from genzoo.host.plugin_host import Host
from genzoo.process import own_state
from genzoo.runs.downloaded import check_hub
from genzoo.runs.export import export_run, licences
from genzoo.runs.folder import RunFolder
from genzoo.runs.reports import reports_of
from genzoo.text import one_line, visible
from genzoo.types import Kind

_TASK = "unconditional-image-generation"

Score = tuple[str, float, float | None, str, str]
"""Name, value, standard error, unit, protocol."""


@own_state()
def export_hub(run: RunFolder, host: Host, folder: Path, *, licence: str = "") -> Path:
    """Copy a finished run into a new folder that can be uploaded to a hub of models as it is.

    `genzoo.load` reads the folder: it holds config.toml, run.json, the rows, and the weights as safetensors. README.md is
    the model card.

    Args:
        run: The run.
        host: Where its plugins come from.
        folder: The folder to make.
        licence: Of the weights, as the hub names it, such as ``mit``; empty leaves it out.

    Returns:
        The folder.

    Raises:
        UsageError: If the run is not finished.
        RunExistsError: If the folder exists.
    """
    export_run(run, folder)
    (weights,) = folder.glob("checkpoints/*/model.safetensors")
    card = model_card(RunFolder(folder).record(), host, weights.relative_to(folder).as_posix(), licence)
    storage.replace(folder / "README.md", card.encode())
    return folder


def check_name(repository: str) -> None:
    """Refuse a repository that has no such name, and a missing huggingface_hub.

    Raises:
        UsageError: In these cases.
    """
    check_hub("export: --push")
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repository):
        raise UsageError(f"export: --push must be USER/NAME, got {repository!r}.")


def upload(folder: Path, repository: str, *, private: bool = False) -> str:
    """Upload a folder of `export_hub` into a repository of the hub, which is made where it is not there.

    Args:
        folder: The folder.
        repository: ``USER/NAME``.
        private: Make a new repository private.

    Returns:
        The address of the commit.

    Raises:
        UsageError: If huggingface_hub is missing, or the hub refuses.
    """
    check_name(repository)
    from huggingface_hub import HfApi

    hub = HfApi(library_name="genzoo")
    try:
        hub.create_repo(repository, private=private or None, exist_ok=True)
        done = hub.upload_folder(repo_id=repository, folder_path=folder, commit_message=f"Upload {folder.name}")
    except Exception as error:
        why = one_line(str(error).strip().partition("\n")[0])[:300]
        raise UsageError(
            f"export: {repository} could not be uploaded ({type(error).__name__}: {why}).",
            f"The folder is {folder}. `hf auth login` signs in.",
        ) from error
    return str(done.commit_url)


def model_card(record: Mapping[str, Any], host: Host, weights: str, licence: str = "") -> str:
    """A model card: YAML in front, then Markdown.

    Args:
        record: What run.json says.
        host: Where the run's plugins come from.
        weights: File of the weights.
        licence: Of the weights, as the hub names it.
    """
    title = _plain(record["title"])
    parts = list(_parts(record["components"]))
    dataset = str(record["components"]["dataset"]["name"])
    scores = list(_scores(record))
    return "\n".join(
        [
            "---",
            *_front(record, title, dataset, scores, licence),
            "---",
            "",
            f"# {title}",
            "",
            f"{record['parameters']['total']:,} parameters, trained on {record['images']['train']:,} images of `{dataset}` "
            f"with [genzoo](https://github.com/genzoo/genzoo) {record['genzoo']}, torch {record['settings']['torch']}, seed "
            f"{record['seed']}.",
            "",
            "## Use",
            "",
            "```python",
            "import genzoo",
            "",
            'run = genzoo.load("FOLDER")  # where this repository was downloaded to',
            "run.model, run.metrics",
            "```",
            "",
            f"The weights are `{weights}`.",
            "",
            "## Repeat",
            "",
            "```bash",
            "genzoo run --recipe config.toml",
            "```",
            "",
            "## Scores",
            "",
            *_table(["number", "value", "standard error", "unit", "protocol"], [_row(score) for score in scores]),
            "",
            _plain(record.get("verdict", "")),
            "",
            "## Parts",
            "",
            *_table(
                ["part", "from", "paper"],
                [
                    [f"{slot} `{part['name']}`", f"{part['distribution']} {part['version']}", _paper(part, host)]
                    for slot, part in parts
                ],
            ),
            "",
            "## Licence",
            "",
            licences(dict(record), _plain(licence) or "not stated"),
            "",
        ]
    )


def _front(record: Mapping[str, Any], title: str, dataset: str, scores: Sequence[Score], licence: str) -> Iterator[str]:
    """The lines of YAML. JSON's strings are YAML's, so text from outside is quoted as JSON."""
    yield "library_name: genzoo"
    yield f"pipeline_tag: {_TASK}"
    if licence:
        yield f"license: {json.dumps(licence)}"
    yield "tags:"
    parts = dict(_parts(record["components"]))
    tags = ["genzoo", *(str(parts[slot]["name"]) for slot in ("model", "prior") if slot in parts)]
    yield from (f"- {json.dumps(tag)}" for tag in dict.fromkeys(tags))
    yield "datasets:"
    yield f"- {json.dumps(dataset)}"
    if not scores:
        return
    yield "model-index:"
    yield f"- name: {json.dumps(title, ensure_ascii=False)}"
    yield "  results:"
    yield "  - task:"
    yield f"      type: {_TASK}"
    yield "    dataset:"
    yield f"      name: {json.dumps(dataset)}"
    yield f"      type: {json.dumps(dataset)}"
    yield "      split: test"
    yield "    metrics:"
    for name, value, _, unit, protocol in scores:
        yield f"    - type: {json.dumps(name)}"
        yield f"      name: {json.dumps(f'{name}, {unit}' if unit else name)}"
        yield f"      value: {json.dumps(value)}"
        yield f"      args: {json.dumps(protocol, ensure_ascii=False)}"


def _scores(record: Mapping[str, Any]) -> Iterator[Score]:
    """The numbers on test images of the last epoch, and those of each metric."""
    test = record.get("summary", {}).get("test") or {}
    protocol = (
        f"mean over {record['images']['test']:,} test images after epoch {record.get('summary', {}).get('epoch', '?')}, as "
        "training evaluates it"
    )
    for report in reports_of(record):
        value = test.get(report.name)
        if report.shown and isinstance(value, int | float) and value == value and abs(value) != float("inf"):
            yield report.name, float(value), None, report.unit, protocol
    for key, result in record.get("metrics", {}).items():
        values, units = result.get("values", {}), result.get("units", {})
        for name, value in values.items():
            if name.endswith("-se") and name.removesuffix("-se") in values:
                continue
            if isinstance(value, int | float) and value == value and abs(value) != float("inf"):
                unit = units.get(name, result.get("unit", ""))
                yield name, float(value), values.get(f"{name}-se"), unit, result.get("protocol") or f"metric {key}"


def _row(score: Score) -> list[str]:
    name, value, error, unit, protocol = score
    return [name, f"{value:.6g}", "" if error is None else f"{error:.2g}", unit, protocol]


def _parts(components: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for slot, part in components.items():
        if isinstance(part, dict) and isinstance(part.get("name"), str):
            yield slot, part


def _paper(part: Mapping[str, Any], host: Host) -> str:
    try:
        return host.get(Kind(part["kind"]), part["name"]).component.paper
    except (GenzooError, ValueError):
        return ""


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [headers, ["---"] * len(headers), *([_plain(cell).replace("|", "\\|") for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _plain(words: object) -> str:
    """One line that Markdown shows as it is written, as far as it could be a tag."""
    return visible(one_line(str(words))).replace("<", "&lt;")
