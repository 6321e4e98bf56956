"""An experiment file either gives a config or one sentence that names the key."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.app.settings.config import Config, Model, operational
from harness.app.settings.configfile import config_from_tree, load_config
from harness.core.errors import ConfigError, HarnessError, InputError


def write(folder: Path, text: str) -> Path:
    path = folder / "x.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[rl]\ngama = 0.9", "rl.gama: there is no such key; did you mean rl.gamma?"),
        ("[models.m]\nbakend = 'vllm'", "models.m.bakend: .* did you mean models.m.backend"),
        ("[rl]\ngamma = nan", "rl.gamma: nan is not a finite number"),
        ("[rl]\ngamma = 1.5", "rl.gamma: expected `float` <= 1.0"),
        ("[rl]\nlearning_rate = 0.0", "rl.learning_rate"),
        ("[rl]\nhorizon = 'far'", "rl.horizon: invalid enum value 'far'"),
        ("[run]\nname = '../x'", "run.name"),
        ("[run]\nname = 'a\\u0000b'", "run.name"),
        ('[data]\ninspired = "a\\u0000b"', "data.inspired: holds a NUL"),
        ("[roles]\nactor = 'big'", "roles.actor: there is no .models.big.; known: default"),
        ("[models.default]\nbackend = 'openai'", "models.default.base_url"),
        ("[models.default]\nbase_url = 'http://me:pw@h/v1'", "models.default.base_url: holds a user, a password"),
        (
            "[models.default]\nbase_url = 'http://h/v1?key=x'",
            "models.default.base_url: holds .* a query",
        ),
        ("[models.default.environment]\nHF_TOKEN = 'x'", "models.default.environment: HF_TOKEN looks like a secret"),
        ("[models.default]\narguments = ['--api-key=x']", "models.default.arguments: --api-key"),
        ("[reward]\nquorum = 11", "reward.quorum: 11 is more than reward.samples = 10"),
        ("[planner]\nkind = 'fixed'", "planner.strategy"),
        ("rl = 3", "rl: is a table of keys, not 3"),
        ("preset = 'papr'", "preset: 'papr' is no preset"),
        ("[rl", "not valid TOML"),
    ],
)
def test_bad_files_give_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        load_config(write(tmp_path, text))


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no experiment file .*nothing.toml"):
        load_config(tmp_path / "nothing.toml")


def test_paths_are_relative_to_the_file_and_overrides_to_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "elsewhere"
    here.mkdir()
    monkeypatch.chdir(here)
    path = write(tmp_path, "[data]\ninspired = 'a.tsv'\n[planner]\nencoder = 'org/roberta'")
    config = load_config(path, ["data.knowledge_graph=g.json", "rl.epochs=2", "run.name=x-1", "planner.encoder=./e"])
    assert config.data.inspired == str(tmp_path / "a.tsv")
    assert config.data.knowledge_graph == str(here / "g.json")
    assert config.planner.encoder == str(here / "e")
    assert (config.rl.epochs, config.run.name) == (2, "x-1")
    assert load_config(path).planner.encoder == "org/roberta"


@pytest.mark.parametrize("override", ["rl.gamma", "=3", "rl.gama=1", "rl.gamma=nan", "rl.gamma.deep=1"])
def test_bad_overrides(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError):
        load_config(write(tmp_path, ""), [override])


@pytest.mark.parametrize(("table", "verb"), [("comparison", "compare"), ("study", "study")])
def test_a_file_for_another_verb_names_the_verb(tmp_path: Path, table: str, verb: str) -> None:
    path = write(tmp_path, f"[{table}]\nname = 'x'")
    with pytest.raises(ConfigError, match=rf"is the file of a {table}: python -m harness {verb} {path}"):
        load_config(path)


def test_the_file_wins_over_its_preset(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, "preset = 'paper'\n[rl]\nlearning_rate = 0.5"))
    assert (config.rl.learning_rate, config.rl.horizon, config.warmup.learning_rate) == (0.5, "literal", 6e-6)


configs = st.builds(
    Config,
    rl=st.builds(
        lambda g, e, lag: msgspec.structs.replace(Config().rl, gamma=g, epochs=e, policy_lag=lag),
        st.floats(0, 1),
        st.integers(0, 1000),
        st.integers(0, 10_000),
    ),
    models=st.just({"default": Model(backend="vllm", arguments=("--x", "1"), environment={"A": "b"})}),
)


@given(configs)
def test_round_trip(config: Config) -> None:
    assert config_from_tree(msgspec.to_builtins(config)) == config
    assert config_from_tree(msgspec.json.decode(msgspec.json.encode(config))).digest == config.digest


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["run", "rl", "models", "default", "gamma", "seed", "name", "without", "network", "x"]),
            inner,
        )
    ),
)


@given(st.dictionaries(st.sampled_from([*Config.__struct_fields__, "x"]), trees, max_size=4))
def test_any_tree_gives_a_config_or_a_typed_error(tree: dict[str, object]) -> None:
    try:
        config_from_tree(tree)
    except HarnessError as error:
        assert len(str(error).splitlines()) == 1


def test_the_digest_ignores_what_no_result_depends_on_and_nothing_else() -> None:
    def changed(*overrides: str) -> Config:
        tree = msgspec.to_builtins(Config())
        for override in overrides:
            table, key, value = override.split(" ")
            tree[table][key] = msgspec.json.decode(value)
        return config_from_tree(tree)

    same = changed('run directory "/elsewhere"', "budget calls 5", "scheduler max_live_conversations 3")
    assert same.digest == Config().digest != changed("run seed 1").digest


@pytest.mark.parametrize("argument", ["--api-key", "--api_key=sk", "--hf-token", "--HF_TOKEN=x"])
def test_a_secret_among_server_arguments_is_refused_and_not_shown(argument: str) -> None:
    tree = {"models": {"default": {"backend": "vllm", "arguments": [argument, "sk-hidden"]}}}
    with pytest.raises(ConfigError, match="holds a secret") as caught:
        config_from_tree(tree)
    assert "hidden" not in str(caught.value)
    config_from_tree({"models": {"default": {"backend": "vllm", "arguments": ["--max-num-batched-tokens", "4096"]}}})


def test_where_a_model_is_does_not_count_and_which_one_it_is_does() -> None:
    assert operational("models.default.base_url")
    assert operational("models.judge.api_key_env")
    assert not operational("models.default.model")
    assert not operational("models.default.arguments")
    assert not operational("models.default.environment.port")
    assert not operational("conversation.port")
