"""``genzoo export``: a trained model for use without genzoo, or for a hub."""

from __future__ import annotations

from pathlib import Path

import click

from genzoo.cli import console
from genzoo.cli.flags import DottedCommand
from genzoo.cli.use import BEST, MOVED_HELP, RUN_HELP, data_alone, interruptible
from genzoo.errors import UsageError

FORMS = ("torch", "onnx", "hub-folder")


@click.command("export", cls=DottedCommand, epilog=RUN_HELP + MOVED_HELP)
@click.argument("run")
@click.option("--to", "form", required=True, type=click.Choice(FORMS), help="What to write.")
@click.option("--out", metavar="FOLDER", help="A new folder.  [default NAME-torch, NAME-onnx or NAME-hub here]")
@click.option(
    "--licence",
    default="",
    metavar="NAME",
    help="With hub-folder: the licence of the weights as the hub names it: mit.",
)
@click.option("--push", default="", metavar="USER/NAME", help="With hub-folder: upload it to this repository.")
@click.option("--private", is_flag=True, help="With --push: make a new repository private.")
@BEST
@click.pass_context
def export(
    context: click.Context, run: str, form: str, out: str | None, licence: str, push: str, private: bool, best: bool
) -> None:
    """Write RUN's model for use without genzoo, or as a folder for the Hugging Face Hub.

    torch: encoder and decoder as files of torch.export (.pt2). onnx: as ONNX files, which need `genzoo[onnx]` to be made.
    Both are compared with the model first, and refused where they differ by more than 1e-5. hub-folder: weights as
    safetensors, config.toml, and a model card with the scores, the command that repeats them, the licence and the parts.
    """
    from genzoo.host.plugin_host import host
    from genzoo.runs.find import elsewhere, find_run

    data = data_alone(context, "export")
    folder = find_run(run)
    name = elsewhere(run) or folder.path.name
    target = Path(out or f"{name}-{form.removesuffix('-folder')}")
    with interruptible("export"):
        if form == "hub-folder":
            from genzoo.portable.hub import check_name, export_hub, upload

            if best:
                raise UsageError("export: --best does not go with --to hub-folder.", "Leave --best out.")
            if push:
                check_name(push)
            export_hub(folder, host(), target, licence=licence)
            if push:
                console.say(f"{target}: uploaded to {upload(target, push, private=private)}")
            else:
                console.say(f"{target}: upload it with `hf upload USER/NAME {target}`.")
            return
        from genzoo.portable.programs import export_programs

        for flag, given in (("--licence", licence), ("--push", push), ("--private", private)):
            if given:
                raise UsageError(f"export: {flag} goes with --to hub-folder.", f"Leave {flag} out.")
        done = export_programs(folder, host(), "onnx" if form == "onnx" else "torch", target, best=best, data=data)
    for file, difference in done.differences.items():
        console.say(f"{target / file} (within {difference:.1g} of the model)")
    for part, reason in done.absent.items():
        console.say(f"There is no {part}: {reason}.")
