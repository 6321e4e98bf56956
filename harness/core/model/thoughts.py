"""Takes a model's thoughts out of its reply, before anything else reads it: pure functions of text.

A thinking model writes what it thinks in front of what it says, and its thoughts hold whatever its prompt holds, a
seeker's hidden goal included. The rule:

- What stands between an opening and a closing tag of one kind is thought, wherever it stands, as often as it comes.
- An opening tag without its closing one begins a thought that was cut off: all after it is thought.
- A closing tag without its opening one ends a thought that began in the prompt: all before it is thought.
- A tag that is closed in itself (``<think/>``) holds nothing; it is taken out. ``&lt;`` and ``&gt;`` are read as ``<``
  and ``>``; Magistral's ``[THINK]`` counts in small letters too.
- A tag in quotation marks or backticks ("<think>", `</think>`) is a word that is spoken of, not a tag.
- In a reply with channels (``<|channel|>analysis<|message|>...``) only the channel ``final`` is said. The text after
  ``assistantfinal`` is said too, where a server has left the channels' marks out.

In doubt more is taken out, not less: a lost word costs a second request, a leaked thought gives a wrong result.
A text without any of these marks is left as it is, to the last blank. Thoughts in plain prose cannot be told from what
is said. Left out: thoughts that a server sends in fields of their own (``harness.core.model.wire`` reads none of them).
"""

from __future__ import annotations

import re

_NAMES = (
    "think|thinking|thought|thoughts|reason|reasoning|reasoning_content|reflection|analysis|scratchpad|antthinking|seed:think"
    "|inner_monologue|internal_monologue|longcat_think|thought_process|chain_of_thought|cot"
)
_LITERAL = {
    "◁think▷": ("◁think▷", False),
    "◁/think▷": ("◁think▷", True),
    "<|begin_of_thought|>": ("begin_of_thought", False),
    "<|end_of_thought|>": ("begin_of_thought", True),
    "<|START_THINKING|>": ("START_THINKING", False),
    "<|END_THINKING|>": ("START_THINKING", True),
    "<unused94>": ("unused94", False),
    "<unused95>": ("unused94", True),
    "<|channel>thought": ("channel", False),
    "<channel|>": ("channel", True),
}
"""Mark -> its kind and whether it closes: Kimi, Sky-T1, Command A, MedGemma, Gemma 4."""
_TAG = re.compile(
    rf"(?:<|&lt;)\|?\s*(?P<slash>/?)\s*(?P<name>(?i:{_NAMES}))(?P<rest>\s(?:(?!&gt;)[^<>|])*)?(?P<empty>/?)\s*\|?(?:>|&gt;)"
    rf"|\[(?P<bar>/?)(?P<kind>(?i:think|thinking|thought|thoughts|reasoning))\]|"
    + "|".join(re.escape(mark) for mark in _LITERAL)
)
_PERHAPS = re.compile(r"[<◁]|&lt;|\[/?(?i:th|rea)")
"""A quick look, since hardly any reply holds a tag."""
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "‘": "’", "«": "»"}
_CHANNEL = "<|channel|>"
_BODY = re.compile(
    r"<\|channel\|>\s*(\w+)[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
    r"(.*?)(?=<\|(?:end|return|call|start|channel)\|>|\Z)",
    re.DOTALL,
)
_FINAL = "assistantfinal"
_BARE_ANALYSIS = re.compile(r"\s*analysis(?=[A-Z0-9\"'“(])")
_GRANITE = re.compile(r"\s*Here(?:'s| is) my thought process:(.*?)(?:Here(?:'s| is) my response:|\Z)", re.DOTALL)
_ANSWER_MARK = re.compile(
    r"\A\s*(?:<(?:answer|response|solution|output)>|<\|(?:begin_of_solution|START_RESPONSE|start_response)\|>)"
    r"|(?:</(?:answer|response|solution|output)>|<\|(?:end_of_solution|END_RESPONSE|end_response)\|>)\s*\Z"
)
"""Around what is said, by models that mark their thoughts; looked for only where there were any."""


def without_thoughts(text: str) -> tuple[str, bool]:
    """(What the reply says, whether there was a thought in it). An empty pair of tags is taken out and is no thought.

    Only thought gives ``""``. What is left is stripped of blanks where anything was taken out.
    """
    said, thought = text, ""
    if _CHANNEL in said:
        said, thought = "".join(body for name, body in _BODY.findall(said) if name == "final"), said
    elif _FINAL in said:
        thought, _, said = said.rpartition(_FINAL)
    elif _BARE_ANALYSIS.match(said):
        said, thought = "", said
    elif (process := _GRANITE.match(said)) is not None:
        said, thought = said[process.end() :], process[1]
    if _PERHAPS.search(said):
        said, more = _without_tagged(said)
        thought += more
    if said == text:
        return text, False
    return _ANSWER_MARK.sub("", said).strip(), bool(thought.strip())


def _without_tagged(text: str) -> tuple[str, str]:
    said: list[str] = []
    thought: list[str] = []
    kind = ""
    start = 0
    for tag in _TAG.finditer(text):
        if _is_quoted(text, tag):
            continue
        its_kind, closes = _read(tag)
        if not closes and (tag["empty"] or (tag["rest"] or "").endswith("/")):  # <think/> holds nothing
            if not kind:
                said.append(text[start : tag.start()])
                start = tag.end()
            continue
        if kind and not (closes and its_kind == kind):
            continue
        if kind:
            thought.append(text[start : tag.start()])
            kind = ""
        elif closes:
            thought += [*said, text[start : tag.start()]]
            said.clear()
        else:
            said.append(text[start : tag.start()])
            kind = its_kind
        start = tag.end()
    (thought if kind else said).append(text[start:])
    return "".join(said), "".join(thought)


def _read(tag: re.Match[str]) -> tuple[str, bool]:
    """(Its kind, whether it closes)."""
    if tag["name"]:
        return tag["name"].lower(), bool(tag["slash"])
    if tag["kind"]:
        return f"[{tag['kind'].lower()}]", bool(tag["bar"])
    return _LITERAL[tag[0]]


def _is_quoted(text: str, tag: re.Match[str]) -> bool:
    before, after = text[: tag.start()][-1:], text[tag.end() :][:1]
    return bool(before) and _QUOTES.get(before) == after
