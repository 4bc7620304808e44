"""Checks of networks: bodies between shapes, fresh each time, that read all they are given and learn."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from genzoo.errors import UsageError
from genzoo.randomness import seeded
from genzoo.testing.bench import COLOUR, GREY, ODD, USUAL, images
from genzoo.testing.checking import CheckFailure, check, expect
from genzoo.testing.subject import Subject
from genzoo.types import ImageSpec, Kind, Shape

NETWORK = Kind.NETWORK
_SHAPES = (GREY, COLOUR, ODD, USUAL)


def bodies(subject: Subject, spec: ImageSpec | None = None, width: int = 4) -> tuple[nn.Module, nn.Module]:
    """An encoder from images to a vector, and a decoder back."""
    network, shape = subject.build(), (spec or subject.image).shape
    with seeded(0):
        return network.encoder(shape, (width,)), network.decoder((width,), shape)


def _served(subject: Subject) -> list[ImageSpec]:
    found: list[ImageSpec] = []
    for spec in _SHAPES:
        try:
            bodies(subject, spec)
        except UsageError as error:
            expect(any(char.isdigit() for char in str(error)), f"the refusal of {spec.shape} to name a shape", error)
            continue
        except Exception as error:
            raise CheckFailure(f"images {list(spec.shape)} to be served or refused", f"{error}") from error
        found.append(spec)
    return found


@check(
    "bodies-are-modules",
    NETWORK,
    why="Models register the bodies as their own submodules.",
    mend="Return an nn.Module from `encoder` and from `decoder`.",
)
def bodies_are_modules(subject: Subject) -> None:
    """Encoder and decoder are modules."""
    made: tuple[Any, Any] = bodies(subject)
    for name, body in zip(("encoder", "decoder"), made, strict=True):
        expect(isinstance(body, nn.Module), f"an nn.Module for the {name}", type(body).__name__)


@check(
    "holds-no-parameters",
    NETWORK,
    why="One network plugin serves several bodies of a model; shared weights would tie them together.",
    mend="Make new layers at each call of `encoder` and `decoder`, and keep none on self.",
)
def holds_no_parameters(subject: Subject) -> None:
    """The network itself holds no parameters, and two bodies share none."""
    network = subject.build()
    expect(not isinstance(network, nn.Module), "a plain object", "an nn.Module")
    shape = subject.image.shape
    first, second = network.encoder(shape, (4,)), network.encoder(shape, (4,))
    shared = {id(item) for item in first.parameters()} & {id(item) for item in second.parameters()}
    expect(not shared, "two encoders with weights of their own", f"{len(shared)} shared")


@check(
    "image-sizes",
    NETWORK,
    why="A size written into the code is the commonest request for help with libraries of this field.",
    mend="Compute paddings from the shape that is asked for; refuse what cannot be served with a UsageError naming it.",
)
def image_sizes(subject: Subject) -> None:
    """Grey and colour, small and odd images are served in the exact shape, in batches of any size, or refused."""
    served = _served(subject)
    expect(served, "one shape at least to be served", "none")
    for spec in served:
        encoder, decoder = bodies(subject, spec)
        encoder.eval()
        decoder.eval()
        for n in (1, 3):
            code = encoder(images(spec, n))
            expect(tuple(code.shape) == (n, 4), f"a code [{n}, 4]", list(code.shape))
            raw = decoder(code)
            expect(tuple(raw.shape) == (n, *spec.shape), [n, *spec.shape], list(raw.shape))


@check(
    "maps-served-or-refused",
    NETWORK,
    why="Models with spatial latents, such as a VQ-VAE, ask for maps of features.",
    mend="Serve (D, h, w), or refuse it with a UsageError that names the shape.",
)
def maps_served_or_refused(subject: Subject) -> None:
    """A map of features is made and read in the exact shape, or refused by name."""
    network, image = subject.build(), subject.image.shape
    for features in ((6, image[1] // 2, image[2] // 2), (6, image[1] // 4, image[2] // 4)):
        try:
            encoder, decoder = network.encoder(image, features), network.decoder(features, image)
        except UsageError:
            continue
        except Exception as error:
            raise CheckFailure(f"features {list(features)} served or refused", f"{error}") from error
        found = encoder(images(subject.image, 2))
        expect(tuple(found.shape) == (2, *features), [2, *features], list(found.shape))
        raw = decoder(found)
        expect(tuple(raw.shape) == (2, *image), [2, *image], list(raw.shape))


@check(
    "impossible-shapes-refused",
    NETWORK,
    why="A layer of no channels fails later, with an error about something else.",
    mend="Check shapes first, and raise a UsageError that names the one that cannot be served.",
)
def impossible_shapes_refused(subject: Subject) -> None:
    """Shapes that no network can serve are refused by a UsageError."""
    network = subject.build()
    wrong: tuple[tuple[Shape, Shape], ...] = (((0, 8, 8), (4,)), ((1, 8, 8), (0,)))
    for input, output in wrong:
        try:
            network.encoder(input, output)
        except UsageError:
            continue
        except Exception as error:
            raise CheckFailure(f"a UsageError for {input} → {output}", f"{type(error).__name__}: {error}") from error
        raise CheckFailure(f"a UsageError for {input} → {output}", "a module")


@check(
    "output-is-raw",
    NETWORK,
    why="The likelihood applies its own link; a sigmoid before it squashes twice and bounds what can be reached.",
    mend="End the encoder and the decoder with a linear or convolution layer, without activation.",
)
def output_is_raw(subject: Subject) -> None:
    """Outputs take both signs and grow with the weights of some layer, as raw ones do.

    Which layer is last is not told by the order of registration, so that each is tried.
    """
    for name, body in zip(("encoder", "decoder"), bodies(subject), strict=True):
        body.eval()
        given = images(subject.image, 8) if name == "encoder" else 3 * _codes(8)
        _off_zero(body, given)
        layers = [layer for layer in body.modules() if any(True for _ in layer.parameters(recurse=False))]
        with torch.no_grad():
            before = body(given)
            expect(bool((before != before.flatten()[0]).any()), f"a {name} that varies", "one value")
            best = (0.0, 0.0)
            for layer in reversed(layers):
                after = _grown(body, layer, given)
                both = torch.cat([before.flatten(), after.flatten()])
                found = float(both.min()), float(both.max())
                best = max(best, found, key=lambda pair: min(-pair[0], pair[1]))
                if found[0] < -1.05 and found[1] > 1.05 and bool((after != after.flatten()[0]).any()):
                    break
            else:
                said = f"raw output of the {name} beyond ±1 with large weights of some layer"
                raise CheckFailure(said, f"{best[0]:.3g}…{best[1]:.3g}")


def _off_zero(body: nn.Module, given: Tensor) -> None:
    """Moves the weights of a body whose last layer starts at zero, so that it shows what it does."""
    with torch.no_grad():
        made = body(given)
        if bool((made == made.flatten()[0]).all()):
            draw = torch.Generator().manual_seed(4)
            for parameter in body.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))


def _grown(body: nn.Module, layer: nn.Module, given: Tensor) -> Tensor:
    """The output with the weights of one layer turned and fifty times as large."""
    own = [item for item in layer.parameters(recurse=False) if item.requires_grad]
    for item in own:
        item.mul_(-50)
    after = body(given)
    for item in own:
        item.div_(-50)
    return after


def _codes(n: int, width: int = 4) -> Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(2))


@check(
    "reads-every-input",
    NETWORK,
    why="A stride that drops the last row, or a layer that drops a latent, loses data in silence.",
    mend="Pad so that every pixel is under a kernel; flatten all of a map.",
)
def reads_every_input(subject: Subject) -> None:
    """Every pixel has an effect on the code, and every latent on the image."""
    for spec in _served(subject):
        for name, body in zip(("encoder", "decoder"), bodies(subject, spec), strict=True):
            body.eval()
            given = images(spec, 8) if name == "encoder" else _codes(8)
            _off_zero(body, given)
            given = given.requires_grad_(True)
            weights = torch.Generator().manual_seed(1)
            out = body(given)
            (out * torch.randn(out.shape, generator=weights)).sum().backward()
            assert given.grad is not None
            silent = int((given.grad.abs().sum(0) == 0).sum())
            expect(silent == 0, f"an effect of every input of the {name} for {list(spec.shape)}", f"none of {silent}")


@check(
    "images-independent",
    NETWORK,
    why="An evaluation that depends on which images share a batch cannot be repeated with another batch size.",
    mend="Use no statistic over the batch in eval mode.",
)
def images_independent(subject: Subject) -> None:
    """In eval mode the output of one image does not depend on the rest of its batch."""
    encoder, decoder = (body.eval().double() for body in bodies(subject))
    data = images(subject.image, 5, dtype=torch.float64)
    with torch.no_grad():
        code = encoder(data)
        expect(torch.allclose(encoder(data[:2]), code[:2]), "the same code in a smaller batch", "another")
        expect(torch.allclose(decoder(code[:2]), decoder(code)[:2]), "the same image in a smaller batch", "another")


@check(
    "learns",
    NETWORK,
    why="A body that cannot learn four images by heart has a broken gradient or scale.",
    mend="Check the initialisation and the activations; avoid dead units.",
)
def learns(subject: Subject) -> None:
    """Encoder and decoder together learn four images: the squared error falls by half."""
    encoder, decoder = (body.train() for body in bodies(subject, width=8))
    data = (images(subject.image, 4) > 0.5).float()
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=3e-3)
    values: list[float] = []
    with seeded(3):
        for _ in range(150):
            error: Any = (decoder(encoder(data)) - data).square().mean()
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
            values.append(float(error.detach()))
    expect(min(values[-5:]) < 0.5 * values[0], f"an error below {0.5 * values[0]:.3g}", f"{values[-1]:.3g}")


@check(
    "exports",
    NETWORK,
    why="An exported body runs without Python, in a browser or a phone.",
    mend="Branch on no tensor's value, and convert none with .item(), float() or numpy().",
)
def exports(subject: Subject) -> None:
    """torch.export takes both bodies, and the result is the same."""
    encoder, decoder = (body.eval() for body in bodies(subject))
    for name, body, given in (("encoder", encoder, images(subject.image, 2)), ("decoder", decoder, _codes(2))):
        with torch.no_grad():
            try:
                found = torch.export.export(body, (given,), strict=False).module()(given)
            except Exception as error:
                text = " ".join(str(error).split())[:200]
                raise CheckFailure(f"the {name} to export", f"{type(error).__name__}: {text}") from error
            expect(torch.allclose(found, body(given), atol=1e-5), f"the same from the exported {name}", "another")


@check(
    "every-output-varies",
    NETWORK,
    why="A row of pixels that no latent reaches is the same in every image, and a border of zeros looks like data.",
    mend="Make the exact shape by kernels and strides, not by padding with a constant afterwards.",
)
def every_output_varies(subject: Subject) -> None:
    """With moved weights every pixel of the decoder, and every entry of the code, changes with the input."""
    for spec in _served(subject):
        for name, body in zip(("encoder", "decoder"), bodies(subject, spec), strict=True):
            body.eval()
            draw = torch.Generator().manual_seed(4)
            with torch.no_grad():
                for parameter in body.parameters():
                    parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
                made = body(images(spec, 16) if name == "encoder" else 2 * _codes(16))
            still = int((made == made[:1]).all(0).sum())
            expect(still == 0, f"every output of the {name} for {list(spec.shape)} to vary", f"{still} that do not")


@check(
    "evaluation-repeats",
    NETWORK,
    why="Dropout or noise in eval mode makes every number and figure another one at each call.",
    mend="Draw noise where self.training is true, and there alone.",
)
def evaluation_repeats(subject: Subject) -> None:
    """In eval mode two calls give the same output."""
    for name, body in zip(("encoder", "decoder"), bodies(subject), strict=True):
        body.eval()
        given = images(subject.image, 4) if name == "encoder" else _codes(4)
        with torch.no_grad():
            same = torch.equal(body(given), body(given))
        expect(same, f"the same output of the {name} at a second call", "another")
