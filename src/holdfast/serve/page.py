"""The pages of a server: one to drop an image on, and one that lists its paths; both self-contained."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

STYLE = """
:root { color-scheme: light dark; --ink: #1c2326; --soft: #5c676d; --paper: #fff; --line: #d5dbde;
  --code: #f2f4f5 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaec; --soft: #9aa6ac; --paper: #14191c; --line: #353f44; --code: #1e2529 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 46rem; margin: 0 auto; padding: 1.5rem 1rem }
h1 { font-size: 1.4rem } h2 { font-size: 1.05rem; margin: 2rem 0 .3rem }
h2 code { font-size: 1rem; font-weight: 600 }
code, pre { font: 13px/1.5 ui-monospace, monospace } a { color: inherit }
pre { background: var(--code); border: 1px solid var(--line); border-radius: 6px;
  padding: .7rem; overflow-x: auto }
p, li { color: var(--soft) } code { color: var(--ink) }
"""


@cache
def page() -> tuple[str, str]:
    """The page at ``/``, and the content security policy it runs under."""
    text = resources.files("holdfast.serve").joinpath("page.html").read_text("utf-8")
    return text, policy(text)


def policy(text: str) -> str:
    """What a page may do: its own script and style by their hashes, its own server, images it was given."""
    kinds = {}
    for kind in ("script", "style"):
        content = re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.S)
        hashes = [base64.b64encode(hashlib.sha256(c.encode()).digest()).decode() for c in content]
        kinds[kind] = " ".join(f"'sha256-{value}'" for value in hashes) or "'none'"
    return (
        f"default-src 'none'; script-src {kinds['script']}; style-src {kinds['style']}; "
        "img-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def docs_page(schema: Mapping[str, Any]) -> tuple[str, str]:
    """The paths of a server as its OpenAPI schema describes them, and the page's policy."""
    parts = []
    for path, methods in schema["paths"].items():
        for method, entry in methods.items():
            parts.append(f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>")
            text = html.escape(entry.get("description", "")).replace("\n\n", "</p><p>")
            text = re.sub(r"`(.*?)`", r"<code>\1</code>", text)
            parts.append(f"<p>{text}</p>")
            parts += _list("Parameters", {
                p["name"]: p.get("description", "") for p in entry.get("parameters", [])
            })  # fmt: skip
            body = entry.get("requestBody", {}).get("content", {})
            parts += _list("Bodies", {kind: _shape(value) for kind, value in body.items()})
            parts += _answers(entry["responses"])
    text = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>holdfast</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><main>'
        f'<h1>What this server answers</h1><p>For programs: <a href="openapi.json">openapi.json</a>. '
        f'To try it: <a href="./">drop an image</a>.</p>{"".join(parts)}</main></body></html>\n'
    )
    return text, policy(text)


def _list(title: str, entries: Mapping[str, str]) -> list[str]:
    lines = [
        f"<li><code>{html.escape(name)}</code> {html.escape(text)}</li>"
        for name, text in entries.items()
    ]
    return [f"<p>{title}</p><ul>{''.join(lines)}</ul>"] if lines else []


def _shape(content: Mapping[str, Any]) -> str:
    fields = content.get("schema", {}).get("properties")
    return "with " + ", or ".join(fields) if fields else ""


def _answers(responses: Mapping[str, Any]) -> list[str]:
    """The example of the answer, then what refusals mean."""
    example = responses["200"].get("content", {}).get("application/json", {}).get("example")
    shown = [f"<pre>{html.escape(json.dumps(example, indent=1))}</pre>"] if example else []
    refusals = {code: r["description"] for code, r in responses.items() if code != "200"}
    return shown + _list("Refusals, each with a sentence in <code>error</code>", refusals)
