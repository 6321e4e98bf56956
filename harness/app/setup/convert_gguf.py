"""``python convert_gguf.py ...``: one GGUF file of a Python package -> a Hugging Face folder in bfloat16.

Run by path in whatever Python has transformers, gguf and accelerate, which need not have the harness: standard library
at import. It says what it does as lines of JSON on standard output (``{"event": ..., "text": ...}``; last ``done`` or
``failed``). The folder appears complete or not at all: it is made beside its place and renamed.

Left out: which package and where to (``harness.app.setup.packaged_model``).
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

REQUIRED = ("torch", "transformers", "gguf", "accelerate")


class _Refused(Exception):
    """Said as one sentence."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Convert a packaged GGUF model into a Hugging Face folder.")
    parser.add_argument("--package", required=True, help="module that carries the file")
    parser.add_argument("--file", required=True)
    parser.add_argument("--sha256", required=True)
    parser.add_argument("--to", required=True, type=Path, help="the folder to be made")
    options = parser.parse_args(arguments)
    try:
        _convert(_found(options.package, options.file), options.sha256, options.to)
    except _Refused as error:
        _say("failed", str(error))
        return 1
    _say("done", str(options.to))
    return 0


def _found(package: str, file: str) -> Path:
    missing = [name for name in (*REQUIRED, package) if importlib.util.find_spec(name) is None]
    if missing:
        raise _Refused(f"{sys.executable} lacks {', '.join(missing)}")
    spec = importlib.util.find_spec(package)
    path = Path(spec.origin).parent / file if spec and spec.origin else Path(file)
    if not path.is_file():
        raise _Refused(f"the package {package} holds no file {file}")
    return path


def _convert(source: Path, sha256: str, target: Path) -> None:
    _say("reading", f"checking {source.name}")
    with open(source, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise _Refused(f"{source.name} has SHA-256 {found}, expected {sha256}")
    _say("loading", "loading transformers")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        _say("converting", f"unpacking the weights of {source.name}")
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        model = AutoModelForCausalLM.from_pretrained(
            source.parent,
            gguf_file=source.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
        )
        _say("saving", f"writing {target.name}")
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
        aside.chmod(0o755)
        try:
            os.rename(aside, target)
        except OSError:
            if not target.is_dir():  # another process made the same folder first
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _say(event: str, text: str) -> None:
    print(json.dumps({"event": event, "text": text}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
