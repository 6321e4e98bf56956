"""Damaged input of five kinds: a value that is right, or one typed error; nothing is scored that was not said.

Valid examples are damaged by seeded mutations (bytes flipped, cut, doubled, spliced, hostile words put in), a few
hundred a kind here and ten thousand in the slow run. The readers' own tests have hypothesis properties beside this.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import trio
from support.episodes import events_of
from support.experts import a_judge
from support.fakes import FILMS, FakeChatModel, state_of

from experts.replies import read_actor_reply, read_cut_actor_reply, read_rating
from harness.app.settings.config import Config, settings
from harness.app.settings.configfile import config_from_tree, load_config
from harness.core.errors import ConfigError, DataError, InputError
from harness.core.log.codec import encode_event
from harness.core.log.eventlog import open_log
from harness.core.log.loggedepisodes import read_episodes
from harness.core.messages import ChatRequest, EpisodeEnded, Score
from harness.core.model.wire import UnreadableReply, decode_chat, error_text
from harness.domain.strategies import STRATEGIES
from simulator.datasets.inspired import InspiredDataset
from simulator.datasets.redial import RedialDataset
from simulator.seeker import parse_reply

ROOT = Path(__file__).parent.parent
FEW, MANY = 300, 10_000
HOSTILE = (
    b"NaN", b"Infinity", b"1e999", b"-1", b"6", b"5", b"true", b"null", b"{}", b"[]", b'"', b"\\", b"\x00", b"\xff",
    b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xed\xa0\x80", b"\\ud800", b"\xee\x80\x80", b"\n", b"\r", b"\t", b"'", b"[END]",
    b"[LEAVE]", b"### TASK\n", b"\nRecommender: ", b"```", b"../", b"/etc/passwd", b"score 5", b"99999999999999999999",
    b"__import__('os')", b"<script>", b"\x1b[2J", b"1" * 5000, b"[" * 3000,
)  # fmt: skip


def damaged(examples: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """``count`` mutants of the examples, the same for a seed."""
    draw = random.Random(seed)
    for _ in range(count):
        content = bytearray(draw.choice(examples))
        for _ in range(draw.choice((1, 1, 2, 3, 8))):
            at = draw.randrange(len(content) + 1)
            to = min(len(content), at + draw.choice((0, 1, 2, 5, 40)))
            match draw.randrange(6):
                case 0:
                    content[at:to] = draw.choice(HOSTILE)
                case 1:
                    del content[at:to]
                case 2:
                    content[at:at] = content[at:to]
                case 3:
                    other = draw.choice(examples)
                    begin = draw.randrange(len(other) + 1)
                    content[at:to] = other[begin : begin + draw.choice((1, 10, 100))]
                case 4 if at < len(content):
                    content[at] ^= 1 << draw.randrange(8)
                case _:
                    del content[at:]
        yield bytes(content)


def texts(examples: Sequence[str], count: int, seed: int) -> Iterator[str]:
    """Mutants as a model might send them: any bytes, lone surrogates among them."""
    for content in damaged([example.encode() for example in examples], count, seed):
        yield content.decode("utf-8", "surrogateescape")


DIGIT = re.compile(r"[ \t\r\n]*([1-5])\.?[ \t\r\n]*")
SCALE = re.compile(r"(?<=\d)(\.0+)?( ?/ ?5| out of 5)|(?<=\d)\.0+|[*_`]", re.IGNORECASE)
VERDICTS = (
    "4",
    " 3\n",
    "5.",
    "1",
    "2 ",
    "I rate this 4 of 5",
    '{"rating": 4}',
    "4.5",
    "4/5",
    "**3**",
    "Rating: 2\n\nSince",
)


def check_judge(said: str) -> None:
    """A rating is one digit from 1 to 5 and no other number beside it; a reward is the mean of such, or missing."""
    exact, read = DIGIT.fullmatch(said), read_rating(said)
    assert read in ((int(exact[1]),) if exact else (None, 1, 2, 3, 4, 5))
    if read is not None and re.match(r"[`*_\s]*(json\s*)?\{", said):
        assert re.search(rf':\s*"?{read}(\.0+)?(e\d+)?"?\s*[,}}]', said)
    elif read is not None:
        assert re.findall(r"\d+", SCALE.sub("", SCALE.sub("", said))) == [str(read)]


def check_score(said: Sequence[str]) -> None:
    model = FakeChatModel(lambda request: [said[index % len(said)] for index in range(request.n)])
    score: Score = trio.run(a_judge(model, mode="samples", samples=10, quorum=5).score, state_of("Hi", "Yes", "No"))
    valid = [rating for text in said if (rating := read_rating(text)) is not None]
    assert set(score.raw) <= set(valid)
    if len(score.raw) < 5:
        assert score.reward is None
    else:
        assert score.reward == pytest.approx((sum(score.raw) / len(score.raw) - 1) / 4)


SPOKEN = (
    '{"text": "Try Heat (1995), it is a crime drama.", "items": [1]}',
    '{"text": "What do you like?", "items": []}',
    '```json\n{"text": "Alien (1979) or Fargo (1996)?", "items": [2, 3]}\n```',
    '{"items": [4], "text": "The Thomas Crown Affair (1999) is fun.", "thought": "hm"}',
)


def check_actor(said: str) -> None:
    """Readable text without control characters, ids of candidates only, or None."""
    ids = {item.id for item in FILMS}
    cut = read_cut_actor_reply(said, FILMS)
    for reply in (read_actor_reply(said, FILMS, frozenset()), cut):
        if reply is not None:
            assert reply.text.strip()
            assert not any(ord(character) < 32 for character in reply.text)
            assert set(reply.recommended) <= ids
            assert len(set(reply.recommended)) == len(reply.recommended)


BODIES = (
    b'{"id": "1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "4"}, "finish_reason": "stop"}]'
    b', "usage": {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 4}}}',
    b'{"choices": [{"message": {"content": "4"}, "logprobs": {"content": [{"top_logprobs": [{"token": "4", '
    b'"logprob": -0.1}, {"token": "token_id:7", "logprob": -2.5}]}]}}], "x": {"y": [1, 2]}}',
    b'{"error": {"message": "no such model", "code": 404}}',
)


def check_body(content: bytes) -> None:
    """A reply whose label read holds every label, or `UnreadableReply`; an error's text is one short line."""
    for labels in ((), ("4", "5")):
        asked = ChatRequest(
            role="reward",
            episode="e",
            turn=1,
            messages=(),
            max_tokens=1,
            temperature=1.0,
            seed=0,
            label_logprobs=labels,
        )
        try:
            reply = decode_chat(content, asked, label_ids={"4": 6, "5": 7})
        except UnreadableReply:
            continue
        assert not reply.texts or reply.label_logprobs.keys() == set(labels)
    line = error_text(content, ())
    assert len(line) <= 300
    assert "\n" not in line


REPLIES = ("Feelings: fine.\nReply: I like crime films.", "Reply: Yes, I will watch it. [END]", "No. [LEAVE]", "Hello!")


def check_seeker(said: str) -> None:
    """Words, and at most one way to leave, which was really said."""
    reply = parse_reply(said)
    if reply is not None:
        assert reply.text.strip()
        assert not (reply.accepted and reply.quit)
        assert not reply.accepted or "[END]" in said
        assert not reply.quit or "[LEAVE]" in said


def check_config(content: bytes, path: Path) -> None:
    """A config whose every number is in its bounds, or one sentence."""
    path.write_bytes(content)
    try:
        config = load_config(path)
    except InputError as error:
        assert str(error)
        assert isinstance(error, ConfigError) or str(path) in str(error)
        return
    assert isinstance(config, Config)
    assert 0 <= config.rl.gamma <= 1
    assert not any(isinstance(value, float) and value != value for value in settings(config).values())
    tree: dict[str, object] = {}
    for key, value in settings(config).items():
        branch = tree
        *parents, leaf = key.split(".")
        for parent in parents:
            branch = branch.setdefault(parent, {})  # type: ignore[assignment]
        branch[leaf] = value
    assert config_from_tree(tree).digest == config.digest or not config.models


def check_inspired(content: bytes, path: Path) -> None:
    """Dialogues whose labels are all known, or an error that names the file."""
    path.write_bytes(content)
    try:
        dialogues = InspiredDataset(path, strategies=STRATEGIES, skip_bad=0).dialogues()
    except InputError as error:
        assert path.name in str(error)
        return
    known = {strategy.key for strategy in STRATEGIES}
    assert len({dialogue.id for dialogue in dialogues}) == len(dialogues)
    for dialogue in dialogues:
        for turn in dialogue.labelled_turns:
            assert turn.labels.keys() <= known
            assert turn.first_label in turn.labels


def check_redial(content: bytes, folder: Path) -> None:
    """Dialogues of different ids, or an error that names the file."""
    (folder / "valid_data.jsonl").write_bytes(content)
    try:
        dialogues = RedialDataset(folder / "valid_data.jsonl", skip_bad=0).dialogues()
    except InputError as error:
        assert "valid_data.jsonl" in str(error)
        return
    assert len({dialogue.id for dialogue in dialogues}) == len(dialogues)


def check_log(content: bytes, path: Path) -> None:
    """Whole episodes, or an error that names the file; never a number where there was none."""
    path.write_bytes(content)
    try:
        episodes = read_episodes(path)
    except DataError as error:
        assert path.name in str(error)
        return
    for episode in episodes:
        assert isinstance(episode.ended, EpisodeEnded)
        for reward in episode.rewards:
            assert reward is None or isinstance(reward, float)


def log_examples(folder: Path) -> list[bytes]:
    path = folder / "log"

    async def write() -> None:
        async with open_log(path) as log:
            for event in [*events_of("a", 0, turns=2), *events_of("b", 1, rewards=[0.5, None])]:
                await log.append(event)

    trio.run(write)
    whole = path.read_bytes()
    return [whole, whole[: len(whole) // 2], b"".join(encode_event(e) + b"\n" for e in events_of("c", 2, turns=1))]


def redial_examples() -> list[bytes]:
    one = (
        b'{"conversationId": "1", "messages": [{"text": "I like @1 a lot", "senderWorkerId": 0, "messageId": 1, '
        b'"timeOffset": 0}], "movieMentions": {"1": "Heat (1995)"}, "respondentQuestions": {"1": {"suggested": 1, '
        b'"seen": 0, "liked": 1}}, "initiatorQuestions": {"1": {"suggested": 1, "seen": 0, "liked": 1}}, '
        b'"initiatorWorkerId": 0, "respondentWorkerId": 1}\n'
    )
    return [one, one + one.replace(b'"1"', b'"2"')]


def inspired_examples() -> list[bytes]:
    whole = (ROOT / "fixtures" / "tiny" / "inspired_synthetic.tsv").read_bytes().split(b"\n")
    return [b"\n".join(whole[:count]) + b"\n" for count in (3, 8, 15)]


def kinds(folder: Path) -> dict[str, Callable[[int, int], None]]:
    """Kind -> a function of (mutants, seed) that checks so many."""

    def judge(count: int, seed: int) -> None:
        said = list(texts(VERDICTS, count, seed))
        for text in said:
            check_judge(text)
        for start in range(0, len(said), max(10, count // 100)):
            check_score(said[start : start + 10])

    def actor(count: int, seed: int) -> None:
        for text in texts(SPOKEN, count, seed):
            check_actor(text)
        for text in texts(REPLIES, count, seed):
            check_seeker(text)
        for content in damaged(BODIES, count, seed):
            check_body(content)

    def config(count: int, seed: int) -> None:
        examples = [path.read_bytes() for path in sorted((ROOT / "experiments").glob("*.toml"))]
        for content in damaged(examples, count, seed):
            check_config(content, folder / "fuzzed.toml")

    def rows(count: int, seed: int) -> None:
        for content in damaged(inspired_examples(), count // 2, seed):
            check_inspired(content, folder / "fuzzed.tsv")
        for content in damaged(redial_examples(), count - count // 2, seed):
            check_redial(content, folder)

    def log(count: int, seed: int) -> None:
        for content in damaged(log_examples(folder), count, seed):
            check_log(content, folder / "fuzzed.jsonl")

    return {"judge": judge, "actor": actor, "config": config, "rows": rows, "log": log}


def test_judge_replies(tmp_path: Path) -> None:
    kinds(tmp_path)["judge"](FEW, 1)


def test_actor_and_seeker_replies(tmp_path: Path) -> None:
    kinds(tmp_path)["actor"](FEW, 2)


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_values_nested_beyond_any_stack(tmp_path: Path, depth: int) -> None:
    # No mutation finds this soon; msgspec gives up with a RecursionError, which no reader may let through.
    deep = b"[" * depth + b"]" * depth
    check_actor('{"text": "Heat (1995)", "items": ' + deep.decode() + "}")
    check_body(b'{"choices": [], "x": %s}' % deep)
    check_body(b'{"error": "no", "x": %s}' % deep)
    check_log(b'{"type": "opening", "x": %s}\n' % deep, tmp_path / "deep.jsonl")
    check_redial(b'{"conversationId": "1", "x": %s}\n' % deep, tmp_path)


def test_config_files(tmp_path: Path) -> None:
    kinds(tmp_path)["config"](FEW, 3)


def test_dataset_rows(tmp_path: Path) -> None:
    kinds(tmp_path)["rows"](FEW, 4)


def test_log_lines(tmp_path: Path) -> None:
    kinds(tmp_path)["log"](FEW, 5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["judge", "actor", "config", "rows", "log"])
def test_ten_thousand(tmp_path: Path, kind: str) -> None:
    kinds(tmp_path)[kind](MANY, 6)
