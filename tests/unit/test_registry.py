import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from response_cases import draw_responses

from ptrag.arms.options import fixed
from ptrag.arms.registry import arm_names, base_name, embedding_control, load_arm, negative_control
from ptrag.base.errors import PtragError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", arm_names())
def test_every_arm_file_defines_an_arm_under_its_own_name(name):
    arm = load_arm(name)
    assert arm.name == name
    assert arm.family in ("closed_form", "neural", "ceiling")
    assert arm.summary and arm.origin
    assert (ROOT / "src" / arm.path).is_file()
    assert callable(arm.fit) == (arm.family == "closed_form") or arm.family == "neural"
    assert callable(arm.build) == (arm.family == "neural")


def test_a_negative_control_is_the_same_arm_under_its_full_name():
    arm = load_arm("ptrag@shuffled")
    assert arm.name == "ptrag@shuffled"
    assert arm.build is load_arm("ptrag").build
    assert arm.path == "ptrag/arms/catalogue/ptrag.py"
    assert (base_name("ptrag@shuffled"), embedding_control("ptrag@shuffled")) == (
        "ptrag",
        "shuffled",
    )
    assert embedding_control("ptrag") is None


def test_a_permuted_arm_is_fitted_on_permuted_responses_and_true_texts():
    responses = draw_responses(seed=3, target="b")
    arm = load_arm("perturbation_mean@permuted")
    assert negative_control(arm.name) == "permuted"
    assert embedding_control(arm.name) is None
    name = next(n for n in responses.perturbations if not len(responses.rows("b", n)))
    dealt = responses.permuted(0)
    expected = dealt.delta[dealt.rows(perturbation=name)].mean(axis=0)
    predicted = arm.fit(responses, None, None, {})("b", name).delta
    np.testing.assert_allclose(predicted, expected, rtol=1e-12)
    plain = load_arm("perturbation_mean").fit(responses, None, None, {})("b", name).delta
    assert np.abs(predicted - plain).max() > 0.1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ptrga", "did you mean 'ptrag'"),
        ("ptrag@shufled", "did you mean 'shuffled'"),
        ("ptrag@", "no negative control ''"),
        ("ptrag@permuted", "reads no measured responses that could be permuted"),
        ("control@permuted", "reads no measured responses"),
        ("response_expert@reassigned", "candidates of stage one are a small part"),
        ("../arm", "unknown"),
    ],
)
def test_unknown_names_are_errors_with_a_remedy(name, words):
    with pytest.raises(PtragError, match=words):
        load_arm(name)


def test_listing_and_loading_arms_needs_neither_torch_nor_scanpy():
    code = (
        "import sys\n"
        "from ptrag.arms.registry import arm_names, load_arm\n"
        "for name in arm_names(): load_arm(name)\n"
        "heavy = {'torch', 'scanpy', 'pandas', 'anndata', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT / "src")})


def test_an_option_that_contradicts_the_arm_is_an_error():
    fixed("ptrag", {}, rag=True)
    fixed("ptrag", {"rag": True, "topk_rag": 8}, rag=True)
    with pytest.raises(PtragError, match=r"arm_options\.ptrag\.rag: False contradicts"):
        fixed("ptrag", {"rag": False}, rag=True)
