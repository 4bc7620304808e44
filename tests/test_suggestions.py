"""What genzoo answers to typical mistakes on the command line: each names the command or option that was meant."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from genzoo.cli import COMMANDS, execute, suggest
from genzoo.host.plugin_host import host

COMMAND_MISTAKES = {
    "train vae": "genzoo run",
    "fit vae": "genzoo run",
    "rnu vae": "genzoo run",
    "plot last traversal": "genzoo viz",
    "generate last": "genzoo sample",
    "evaluate last elbo": "genzoo eval",
    "ls": "genzoo list",
    "lits": "genzoo list",
    "resume last": "genzoo run --resume RUN",
    "compare a b": "genzoo runs compare RUN RUN",
    "rm last": "genzoo runs rm RUN",
    "help": "genzoo --help",
    "version": "genzoo --version",
    "embed last": "genzoo encode",
    "create model x": "genzoo new",
}
OPTION_MISTAKES = {
    "run vae --beta 4": "--loss.beta 4",
    "run vae --beta=4": "--loss.beta 4",
    "run vae --latent-dim 10": "--model.latent-dim 10",
    "run vae --latent_dim 10": "--model.latent-dim 10",
    "run cvae --z-dim 10": "--model.latent-dim 10",
    "run vae --kl-weight 4": "--loss.beta 4",
    "run vae --free-bits 0.5": "--loss.free-bits 0.5",
    "run vae --dataset mnist": "--data mnist",
    "run vae --binarize dynamic": "--data.binarize dynamic",
    "run vae --viz traversal --span 3": "--viz.traversal.span 3",
    "run vae --visualizer traversal": "--viz traversal",
    "run vae --network mlp --hidden 400": "--network.hidden 400",
    "run vae --channels 32,64": "--network.channels 32,64",
    "run vae --warmup 5": "--scheduler.beta.epochs 5",
    "run vae --learning-rate 1e-3": "--lr 1e-3",
    "run vae --batchsize 64": "--batch-size 64",
    "run vae --batch_size 64": "--batch-size 64",
    "run vae --epoch 3": "--epochs 3",
    "run vae --num-epochs 3": "--epochs 3",
    "run vae --gpu": "--device cuda",
    "run vae --cuda": "--device cuda",
    "run vae --amp": "--precision bf16",
    "run vae --output-dir x": "--out x",
    "run vae --config x.toml": "--recipe x.toml",
    "run vae --checkpoint last": "--resume last",
    "run vae --early-stopping 3": "--patience 3",
    "run vae --val-split 5000": "--holdout 5000",
    "run vae --shedule constant": "--scheduler constant",
    "run vae --prior vampprior --pseudo-inputs 100": "--prior.",
    "viz zoo:report-vae traversal --span 3": "--traversal.span 3",
    "viz zoo:report-vae traversal --outdir x": "--out x",
    "eval zoo:report-vae nll --samples 10": "--nll.samples 10",
}


def answer(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert execute(shlex.split(words)) == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


@pytest.mark.parametrize(("typed", "meant"), COMMAND_MISTAKES.items())
def test_a_command_of_another_tool_or_misspelt_names_ours(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert f"`{meant}`" in answer(typed, capsys)


@pytest.mark.parametrize(("typed", "meant"), OPTION_MISTAKES.items())
def test_an_option_of_a_part_or_of_another_tool_names_the_flag(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = answer(typed, capsys)
    assert f"`{meant}`" in said or (meant.endswith(".") and f"`{meant}" in said), said


@pytest.mark.parametrize("typed", ["run vae --xyzzy 3", "xyzzy", "viz zoo:report-vae traversal --xyzzy"])
def test_what_means_nothing_is_not_guessed_at(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = answer(typed, capsys)
    assert "Did you mean" not in said
    assert "--help" in said


@pytest.mark.parametrize("words", ["", "runs", "recipe", "registry"])
def test_a_bare_group_prints_its_help_and_succeeds(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(shlex.split(words)) == 0
    said = capsys.readouterr()
    assert said.out.startswith("Usage: genzoo")
    assert said.err == ""


def test_a_wrong_device_is_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert "device must be auto, cpu, cuda, cuda:N or mps, got 'gpu'." in answer("run vae --device gpu", capsys)


def test_every_command_that_is_suggested_exists() -> None:
    assert {meant.split()[0] for meant in suggest.COMMANDS.values()} - {"--help", "--version"} <= set(COMMANDS)


def test_every_option_that_is_suggested_exists() -> None:
    import click

    from genzoo.cli.run import command

    own = {name for item in command.params if isinstance(item, click.Option) for name in item.opts}
    parts: set[str] = set()
    for data in ("npz", "image-folder"):
        found = suggest.options_of_parts(["vae", "--data", data], host())
        parts |= {flag for flags in found.values() for flag in flags}
    assert {meant.split()[0] for meant in suggest.OPTIONS.values()} <= own | parts


@pytest.mark.parametrize(("command", "fits", "not_fits"), [("viz", "traversal", "class-swap"), ("eval", "nll", "dci")])
def test_without_a_name_what_fits_the_run_is_listed(
    command: str, fits: str, not_fits: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute([command, "zoo:report-vae"]) == 0
    said = capsys.readouterr()
    listed, _, refused = said.out.partition("These do not fit this run: ")
    assert f"\n{fits} " in listed
    assert not_fits in refused
    assert f"genzoo {command} zoo:report-vae" in said.err
    assert execute([command, "zoo:report-vae", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert fits in found["fit"]
    assert not_fits in found["refused"]
    assert not set(found["fit"]) & set(found["refused"])


def test_a_label_that_is_no_class_is_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "s.npz")
    assert execute(["sample", "zoo:report-cvae", "-n", "2", "--label", "seven", "--out", out]) == 2
    assert "--label must be the number of a class, got 'seven'." in capsys.readouterr().err
    assert execute(["sample", "zoo:report-cvae", "-n", "2", "--label", "7", "--out", out]) == 0
