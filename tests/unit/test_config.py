import copy
import re

import pytest
import yaml

from ptrag import config as cfg
from ptrag.base.defaults import SCORING, SCREEN, STATISTICS
from ptrag.base.errors import PtragError
from ptrag.schema import ConfigFiles, read_schema


@pytest.fixture(scope="module")
def schema(root):
    return read_schema(root / "workflow/schemas/config.schema.yaml")


@pytest.fixture
def config(root):
    return yaml.safe_load((root / "config.yaml").read_text())


def test_every_shipped_data_set_resolves(config, schema):
    for name in config["datasets"]:
        settings = cfg.resolve(config | {"dataset": name}, schema)
        assert settings["dataset"] == name
        assert settings["source"] == config["datasets"][name]


def test_the_command_has_the_defaults_of_the_workflow(config):
    assert {key: config["cells"][key] for key in SCREEN} == SCREEN
    for part in (SCORING, STATISTICS):
        assert {key: config["evaluation"][key] for key in part} == part


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
    assert settings["training"]["max_steps"] == 7 != own["max_steps"]
    every = settings["training"]["validate_every"]
    assert every == own["validate_every"] != config["training"]["validate_every"]
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
        ("training.max_steps", "many", ["max_steps: 'many' is not of type integer or null"]),
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


PLACE = "datasets.demo"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("resources", {"train_arms": {}}, ["resources.train_arms", "did you mean 'train_arm'?"]),
        ("arm_options", {"ptrg": {}}, ["arm_options.ptrg", "did you mean 'ptrag'"]),
        ("search.space", {"training.lr": {"choices": [1]}}, ["training.lr", "no key 'lr'"]),
        ("search.space", {"model.layers": {"choices": [0]}}, ["model.layers", "less than the min"]),
        (
            "search.space",
            {"training.learning_rate": {"low": 1, "high": 0.1}},
            ["low must be below"],
        ),
        (
            f"{PLACE}.perturbation_pattern",
            "^([A-Z",
            [f"{PLACE}.perturbation_pattern", "no regular"],
        ),
        (f"{PLACE}.perturbation_pattern", "^[A-Z]+$", ["has no group"]),
        (f"{PLACE}.control", {"pattern": "NT("}, [f"{PLACE}.control.pattern", "no regular"]),
        (f"{PLACE}.control", {"patern": "NT"}, [f"{PLACE}.control.patern", "unknown key"]),
        (f"{PLACE}.control", [], [f"{PLACE}.control"]),
        (f"{PLACE}.control", 0, [f"{PLACE}.control: 0 is not of type string", "in quotes"]),
        (f"{PLACE}.matrix", "Y", [f"{PLACE}.matrix", "form"]),
        (f"{PLACE}.splits.genes.lists", "no.json", ["lists", "there is no file no.json"]),
        ("embedding", "table", ["embeddings.table.path", "needs your table"]),
        ("embeddings.table.path", "no.tsv", ["embeddings.table.path", "there is no file no.tsv"]),
        ("embeddings.text.gene_text", "no.tsv", ["gene_text", "there is no file"]),
        ("arms", ["control@shuffled"], ["arms: 'control@shuffled'", "reads none"]),
        ("arms", ["ridge@reassigned"], ["arms: 'ridge@reassigned'", "candidates, and it has none"]),
        ("training.max_steps", "1e-3", ["training.max_steps: '1e-3' is not of type integer"]),
        ("training.learning_rate", "fast", ["training.learning_rate: 'fast' is not of type"]),
        ("prediction.cells_per_pair", 0, ["prediction.cells_per_pair"]),
    ],
)
def test_whatever_a_user_names_is_checked_before_anything_runs(config, schema, key, value, words):
    if key.endswith("lists"):
        put(config, f"{PLACE}.splits.genes", {"protocol": "unseen_perturbation"})
    put(config, key, value)
    with pytest.raises(PtragError) as caught:
        cfg.resolve(config, schema)
    message = str(caught.value)
    assert message.startswith("config.yaml: ") and "\n" not in message
    assert all(word in message for word in words), message


@pytest.mark.parametrize("name", ["k562+rpe1", "..", "a/b", "A", "", "genept", "with blank", "é"])
def test_names_of_data_sets_are_names_of_folders(config, schema, name):
    config["datasets"][name] = config["datasets"]["demo"]
    with pytest.raises(PtragError, match=rf"datasets\.{re.escape(name)}: (a name may|is the name)"):
        cfg.resolve(config | {"dataset": name}, schema)


@pytest.mark.parametrize("name", ["k562+rpe1", "../x", "logs", "embeddings"])
def test_names_of_splits_are_names_of_folders(config, schema, name):
    splits = config["datasets"]["demo"]["splits"]
    splits[name] = splits["genes"]
    with pytest.raises(PtragError, match=rf"splits\.{re.escape(name)}: (a name may|is the name)"):
        cfg.resolve(config, schema)


@pytest.mark.parametrize("control", ["NT", ["NT-1", "NT-2"], {"pattern": "NT-[0-9]+"}])
def test_controls_are_a_label_a_list_or_a_pattern(config, schema, control):
    put(config, f"{PLACE}.control", control)
    assert cfg.resolve(config, schema)["source"]["control"] == control


def test_numbers_that_yaml_takes_for_words_are_numbers(config, schema):
    text = "{learning_rate: 1e-3, gradient_clip: 1E1, max_steps: 5e4}"
    config["training"] |= yaml.safe_load(text)
    assert config["training"]["learning_rate"] == "1e-3"  # YAML 1.1
    config["datasets"]["demo"]["settings"].pop("training")
    training = cfg.resolve(config, schema)["training"]
    assert (training["learning_rate"], training["gradient_clip"]) == (0.001, 10)
    assert training["max_steps"] == 50000


def test_the_error_names_the_file_that_says_it(config, schema):
    extra = {"training": {"max_step": 3}}
    files = ConfigFiles({"config.yaml": config, "mine.yaml": extra})
    with pytest.raises(PtragError, match=r"^mine\.yaml: training\.max_step: unknown key"):
        cfg.resolve(cfg.merge(config, extra), schema, files)
    extra = {"datasets": {"demo": {"settings": {"arms": ["contrl"]}}}}
    files = ConfigFiles({"config.yaml": config, "mine.yaml": extra})
    with pytest.raises(PtragError, match=r"^mine\.yaml: datasets\.demo\.settings\.arms: arm"):
        cfg.resolve(cfg.merge(config, extra), schema, files)
    files = ConfigFiles({"config.yaml": config, "--config": {"dataset": "dmo"}})
    with pytest.raises(PtragError, match=r"^--config: dataset: 'dmo'"):
        cfg.resolve(config | {"dataset": "dmo"}, schema, files)


def test_paths_are_found_from_the_project_and_under_the_home(
    config, schema, root, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "vectors.tsv").write_text("gene\tx\nTP53\t1\n")
    config["data_dir"] = "~/data"
    config["embeddings"]["table"]["path"] = "~/vectors.tsv"
    settings = cfg.resolve(config, schema, home=root)
    assert settings["data_dir"] == str(tmp_path / "data")
    assert settings["embeddings"]["table"]["path"] == str(tmp_path / "vectors.tsv")
    assert settings["embeddings"]["text"]["gene_text"] == str(root / "resources/gene_text.tsv.gz")


def test_the_schema_names_every_rule_of_the_workflow(schema, root):
    text = "".join(path.read_text() for path in (root / "workflow/rules").glob("*.smk"))
    rules = set(re.findall(r"^ *rule (\w+):", text, flags=re.M))
    named = schema["$defs"]["resources"]["propertyNames"]["enum"]
    assert set(named) == rules | {"default", "most"}


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
    assert cfg.arm_index(settings, "ptrag@shuffled") == "text@shuffled"
    assert cfg.arm_embedding(settings, "ptrag@reassigned") == "text"
    assert cfg.arm_index(settings, "ptrag@reassigned") == "text@reassigned"
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
