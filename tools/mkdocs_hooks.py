"""What mkdocs is told beside mkdocs.yml: the pages of the API, and formulas as MathML."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File

import rooms

FORMULA = re.compile(r"^( *)```math\n(.*?)^ *```$", re.M | re.S)
INLINE = re.compile(r"\$<code>(.+?)</code>\$", re.S)


def on_config(config: Any) -> Any:
    """Name the pages of the API in the navigation."""
    config.watch.append(str(rooms.SOURCE))
    pages = [{name: f"api/{name}.md"} for name in rooms.documented()]
    for entry in config.nav:
        if isinstance(entry, dict) and "API" in entry:
            entry["API"] = ["api/index.md", *pages]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Make a page for each room, of what its modules document."""
    files.append(File.generated(config, "api/index.md", content=overview()))
    for name in rooms.documented():
        files.append(File.generated(config, f"api/{name}.md", content=page(name)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Displayed formulas as MathML, which browsers draw without any script."""
    return FORMULA.sub(
        lambda m: f'{m[1]}<div class="formula">{convert(m[2].strip(), display="block")}</div>',
        markdown,
    )


def on_page_content(html: str, **_: Any) -> str:
    """Formulas within sentences, written as ``$`x`$``, likewise; what keeps one is small."""
    html = html.replace("<p>Computed by", '<p class="kept">Computed by')
    html = html.replace(" ± ", "&nbsp;±&nbsp;")
    return INLINE.sub(lambda m: convert(unescape(m[1])), html)


def overview() -> str:
    """The first page of the API: what most programs use, then every room."""
    lines = ["# API", "", "What most programs use, each from `import holdfast`:", ""]
    lines += ["| name | |", "|---|---|"]
    lines += [f"| [`{name}`][{path}] | {text} |" for name, path, text in rooms.public_names()]
    lines += [
        "",
        "The rooms. Each imports only from rooms above it.",
        "",
        "| room | |",
        "|---|---|",
    ]
    lines += [
        f"| [`holdfast.{name}`]({name}.md) | {rooms.summary(name)} |" for name in rooms.documented()
    ]
    return "\n".join(lines) + "\n"


def page(room: str) -> str:
    """The page of a room: its modules in order, the package's own words first."""
    folder = rooms.SOURCE / room
    if not folder.is_dir():
        return f"# {room}\n\n::: holdfast.{room}\n    options:\n      show_root_heading: false\n"
    lines = [f"# {room}", "", f"{rooms.summary(room)}.", ""]
    for path in sorted(folder.glob("*.py")):
        if not path.stem.startswith("_"):
            lines += [
                f"::: holdfast.{room}.{path.stem}",
                "    options:",
                "      heading_level: 2",
                "",
            ]
    return "\n".join(lines)
