"""Pages of HTML that need no other file and no network: one document in house style, made of sections.

A content security policy in the document forbids everything but its own styles and scripts, by their hashes, and images that
it carries itself. So text from outside that slipped through as markup could neither run a script nor reach a server.
Imports no torch.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from genzoo.interfaces.drawing import Page, Section
from genzoo.plain import plain
from genzoo.text import one_line, visible

if TYPE_CHECKING:
    from torch import Tensor

GREYS = 16
"""Grey levels of images in a page, which a PNG stores in half a byte a pixel."""


def text(value: object) -> str:
    """Text from outside as HTML that shows it literally, also where it would turn the direction of writing.

    Example:
        >>> text("<b>7 & \\u202e1</b>")
        '&lt;b&gt;7 &amp; \\\\u202e1&lt;/b&gt;'
    """
    return escape(one_line(str(value)))


def block(value: object) -> str:
    """`text` of several lines."""
    return escape(visible(str(value)))


def page(title: str, sections: Sequence[Section], *, head: str = "") -> Page:
    """A document of sections.

    Args:
        title: Of the document, as plain text; also its heading unless ``head`` is given.
        sections: In order.
        head: HTML before the sections; it replaces the heading.

    Example:
        >>> made = page("Digits <3", [Section("note", "A note", "<p>Hello.</p>")])
        >>> "<h1>Digits &lt;3</h1>" in made.html, "default-src 'none'" in made.html
        (True, True)
    """
    style = "\n".join(dict.fromkeys([house_style(), *(section.style for section in sections if section.style)]))
    scripts = list(dict.fromkeys(section.script for section in sections if section.script))
    style = _trimmed(style)
    script = _ascii(_trimmed(_script(scripts))) if scripts else ""
    body: list[str] = []
    for number, section in enumerate(sections):
        which = f' data-script="{scripts.index(section.script)}"' if section.script else ""
        heading = f'<h2 id="s{number}">{text(section.title)}</h2>' if section.title else ""
        label = f' aria-labelledby="s{number}"' if section.title else ""
        body.append(f'<section class="{text(section.name)}"{label}{which}>{heading}{section.html}')
        if section.script:
            body.append(f'<script type="application/json">{_json(section.data)}</script>')
        body.append("</section>")
    policy = [
        "default-src 'none'",
        f"script-src {_hash(script)}" if script else "script-src 'none'",
        f"style-src {_hash(style)}",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    html = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{"; ".join(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n"
        f"{head or f'<header><h1>{text(title)}</h1></header>'}\n{''.join(body)}\n</main>\n"
        f"{f'<script>{script}</script>' if script else ''}\n</body>\n</html>\n"
    )
    return Page(html, tuple(sections))


def house_style() -> str:
    """The rules that every page begins with, ``page.css``."""
    return files("genzoo.parts").joinpath("page.css").read_text("utf-8")


def sheet(images: Tensor, columns: int, levels: int = GREYS) -> str:
    """Images side by side, as the data URI of one PNG without gaps.

    Args:
        images: ``[N, C, H, W]`` in [0, 1]; of one channel they are grey, of three in colour, of others the mean is shown.
        columns: Images in a row.
        levels: Grey levels, 4 or 16; of colours, how many the palette has is this squared.
    """
    import torch
    from PIL import Image

    count, channels, height, width = images.shape
    rows = -(-count // columns)
    padded = torch.cat([images.detach().cpu().float(), torch.zeros(rows * columns - count, channels, height, width)])
    shown = padded if channels in {1, 3} else padded.mean(1, keepdim=True)
    whole = shown.reshape(rows, columns, -1, height, width).permute(0, 3, 1, 4, 2)
    whole = whole.reshape(rows * height, columns * width, -1).clamp(0, 1)
    buffer = io.BytesIO()
    if whole.shape[-1] == 3:
        picture = Image.fromarray((whole * 255).round().byte().numpy(), "RGB").quantize(min(256, levels**2))
        picture.save(buffer, "PNG", optimize=True)
    else:
        grey = (whole[..., 0] * (levels - 1)).round().byte().numpy()
        picture = Image.fromarray(grey, "P")
        picture.putpalette([value for level in range(levels) for value in [round(255 * level / (levels - 1))] * 3])
        picture.save(buffer, "PNG", optimize=True, bits=levels.bit_length() - 1)
    return data_uri(buffer.getvalue(), "image/png")


def data_uri(content: bytes, kind: str) -> str:
    """A file as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _json(data: Any) -> str:
    """JSON that no browser reads as the end of its element."""
    written = json.dumps(plain(data), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _script(scripts: Sequence[str]) -> str:
    functions = ",\n".join(f"function (root, data) {{\n{script}\n}}" for script in scripts)
    return (
        f'"use strict";\nconst sections = [\n{functions}\n];\n'
        "let begun = false;\nconst begin = () => {\n  if (begun) return;\n  begun = true;\n"
        '  for (const root of document.querySelectorAll("section[data-script]")) {\n'
        "    const data = root.querySelector('script[type=\"application/json\"]');\n"
        "    sections[root.dataset.script](root, JSON.parse(data.textContent));\n"
        "  }\n};\n"
        # After the first paint, or soon where nothing is painted: a tab in the background, or a browser without a window.
        "requestAnimationFrame(() => setTimeout(begin));\nsetTimeout(begin, 500);\n"
    )


def _trimmed(code: str) -> str:
    """Styles or scripts without indentation, empty lines and whole-line comments, and without an end tag in a string."""
    lines = (line.strip() for line in code.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("//")).replace("</", "<\\/")


def _ascii(script: str) -> str:
    """The script with other letters as escapes, so that its hash holds in whatever encoding the page arrives."""
    units = script.encode("utf-16-be")
    codes = (int.from_bytes(units[place : place + 2], "big") for place in range(0, len(units), 2))
    return "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)


def _hash(content: str) -> str:
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return f"'sha256-{digest}'"
