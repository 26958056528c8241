import copy

import pytest
import yaml

from ptrag import config as cfg
from ptrag.base.errors import PtragError


@pytest.fixture(scope="module")
def schema(root):
    return cfg.read_schema(root / "workflow/schemas/config.schema.yaml")


@pytest.fixture
def config(root):
    return yaml.safe_load((root / "config.yaml").read_text())


def test_every_shipped_data_set_resolves(config, schema):
    for name in config["datasets"]:
        settings = cfg.resolve(config | {"dataset": name}, schema)
        assert settings["dataset"] == name
        assert settings["source"] is config["datasets"][name]


def test_paper_settings_are_the_default_of_its_own_data(config, schema):
    settings = cfg.resolve(config | {"dataset": "replogle_nadig"}, schema)
    training, model = settings["training"], settings["model"]
    assert (training["sets"], training["set_size"], training["max_steps"]) == (64, 64, 50001)
    assert (model["hidden"], model["layers"]) == (128, 8)
    assert (model["heads"], model["head_size"]) == (12, 58)
    assert settings["arm_options"]["ptrag"]["topk_rag"] == 32
    assert set(settings["source"]["splits"]) == {"k562", "rpe1", "hepg2", "jurkat"}


def test_the_oracle_runs_where_the_truth_is_known(config, schema):
    assert "oracle" in cfg.resolve(config, schema)["arms"]
    assert "oracle" not in cfg.resolve(config | {"dataset": "papalexi"}, schema)["arms"]


def test_precedence_is_section_then_data_set_then_override(config, schema):
    config["override"] = {"training": {"max_steps": 7}}
    settings = cfg.resolve(config, schema)
    own = config["datasets"]["demo"]["settings"]["training"]
    assert settings["training"]["max_steps"] == 7
    assert settings["training"]["sets"] == own["sets"] != config["training"]["sets"]
    assert settings["training"]["gradient_clip"] == config["training"]["gradient_clip"]


def test_an_override_of_the_command_line_has_the_types_of_yaml(config, schema):
    said = "{seeds: [3], training: {learning_rate: 0.5, patience: null, match_batch: true}}"
    config["override"] = yaml.load(said, Loader=yaml.BaseLoader)  # as Snakemake reads --config
    settings = cfg.resolve(config, schema)
    training = settings["training"]
    assert settings["seeds"] == [3]
    assert (training["learning_rate"], training["match_batch"]) == (0.5, True)
    assert training["patience"] is None


def test_merge_replaces_lists_and_keeps_its_arguments():
    low, high = {"a": {"b": [1, 2], "c": 1}}, {"a": {"b": [3]}}
    before = copy.deepcopy((low, high))
    merged = cfg.merge(low, high)
    assert merged == {"a": {"b": [3], "c": 1}}
    merged["a"]["b"].append(4)
    assert (low, high) == before


def put(config, dotted, value):
    *path, last = dotted.split(".")
    for key in path:
        config = config[key]
    config[last] = value


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("traning", {}, ["traning: unknown key", "did you mean 'training'"]),
        ("training.max_step", 3, ["training.max_step: unknown key", "'max_steps'"]),
        ("datasets.demo.settings.training.set", 3, ["demo.settings.training.set", "unknown"]),
        ("datasets.demo.colums", {}, ["datasets.demo.colums: unknown key", "'columns'"]),
        ("arm_options.ptrag.topk", 3, ["arm_options.ptrag.topk: unknown key", "'topk_rag'"]),
        ("override", {"training": {"stes": 1}}, ["override.training.stes: unknown key"]),
        ("training.max_steps", "many", ["training.max_steps: 'many' is not of type integer"]),
        ("training.learning_rate", 0, ["training.learning_rate", "0"]),
        ("seeds", [], ["seeds"]),
        ("embedding", "genpt", ["embedding: 'genpt' is not one of genept, text, table"]),
        ("dataset", "papalexy", ["dataset: 'papalexy'", "did you mean 'papalexi'"]),
        ("arms", ["control", "ptrug"], ["ptrug", "did you mean", "ptrag"]),
        ("arms", ["ptrag@mixed"], ["ptrag@mixed", "random", "shuffled"]),
        ("search.arm", "ridge", ["search.arm: 'ridge'", "neural"]),
        ("search.space", {"training.sets": {"low": 1}}, ["search.space.training.sets"]),
        ("evaluation.contrasts", [["ptrag", "state"]], ["contrasts", "'ptrag'", "arms"]),
        ("evaluation.contrasts", [["state", "split_half"]], ["contrasts", "'split_half'"]),
        ("evaluation.primary", ["pearson"], ["evaluation.primary", "'pearson'", "pearson_delta"]),
        (
            "datasets.demo.splits.genes.fractions",
            {"val": 0.5, "test": 0.5},
            ["genes.fractions", "smaller than 1"],
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_key_value_and_remedy(config, schema, key, value, said):
    if key == "evaluation.contrasts":
        config["arms"] = ["control", "state"]
    put(config, key, value)
    with pytest.raises(PtragError) as caught:
        cfg.resolve(config, schema)
    message = str(caught.value)
    assert "\n" not in message
    for part in said:
        assert part in message


def test_each_baseline_may_be_asked_for_in_one_word(config, schema):
    config["arms"] = ["control", "state"]
    put(config, "evaluation.contrasts", [["state", "baselines"], ["models", "controls"]])
    cfg.resolve(config, schema)
    put(config, "evaluation.contrasts", [["baselines", "state"]])
    with pytest.raises(PtragError, match="baselines"):
        cfg.resolve(config, schema)


def test_runs_span_splits_arms_and_seeds_and_draw_once_where_nothing_is_random(config, schema):
    config |= {"arms": ["control", "ptrag", "ptrag@shuffled", "split_half"], "seeds": [3, 5]}
    settings = cfg.resolve(config, schema)
    found = [run.path for run in cfg.runs(settings) if run.split == "genes"]
    assert found == [
        "genes/control/seed0",
        "genes/ptrag/seed3",
        "genes/ptrag/seed5",
        "genes/ptrag@shuffled/seed3",
        "genes/ptrag@shuffled/seed5",
    ]
    assert cfg.arm_embedding(settings, "ptrag@shuffled") == "text@shuffled"
    assert cfg.arm_embedding(settings, "response_expert@permuted") == "text"
    assert cfg.arm_embedding(settings, "control") is None
    assert cfg.arm_options(settings, "ptrag@shuffled") == config["arm_options"]["ptrag"]


def objects(schema):
    """Every sub-schema that describes a mapping."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


def test_the_schema_is_closed_at_every_level(schema):
    assert all("additionalProperties" in part for part in objects(schema))
