"""How to take part: the steps, a form that makes the YAML file, and a check of one."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st
import yaml
from fracbench import registry, specs
from fracbench.submission_schema import Submission
from fracbench.submissions import faults_in
from fracbench.yaml_nodes import parse

STEPS = """
1. Install fracbench (its README says how), and `fracbench init my-model` makes `submissions/my-model/submission.yaml`;
   or fill in the form below and save the file there.
2. Put the weights beside it: safetensors, or a state dict that loads with `weights_only=True`. Nothing in a submission
   executes code; a network that no registered model builds comes as a plugin (docs: *write a plugin*).
3. `fracbench validate submissions/my-model/submission.yaml`, then `fracbench doctor my-model`, then
   `fracbench run my-model`.
4. Send the folder with its results as a pull request. It is shown as self-reported until `fracbench verify` has
   computed a sample of it again.
"""
EXAMPLE = {"timm": {"architecture": "resnet18", "image_size": 224}, "torchvision": {"architecture": "resnet18"}}


def show() -> None:
    """Draw the page; it needs no results."""
    st.title("Submit")
    st.markdown(STEPS)
    form, check, schema = st.tabs(["Make a file", "Check a file", "The schema"], key="part", bind="query-params")
    with form:
        _form()
    with check:
        _check()
    with schema:
        st.write("Everything that a submission may say; unknown keys are refused.")
        made = json.dumps(Submission.model_json_schema(), indent=2)
        st.download_button("JSON schema", made, "submission.schema.json", "application/json", on_click="ignore")
        st.json(made, expanded=2)


def _form() -> None:
    left, right = st.columns(2)
    name = left.text_input("Name", "my-model", help="lower case letters, digits, -; its folder's name", **kept("name"))
    title = right.text_input("Title", "ResNet-18 on our radiographs", **kept("title"))
    authors = left.text_input("Authors", "A. Author, B. Author", help="separated by commas", **kept("authors"))
    licence = right.text_input("Licence of the weights", "Apache-2.0", **kept("licence"))
    contact = left.text_input("Contact", **kept("contact"))
    links = right.text_input("Links", help="papers and code, separated by spaces", **kept("links"))
    benchmarks = left.multiselect("Benchmarks", specs.names(), default=["phantom-v1"], **kept("benchmarks"))
    models = sorted(registry.names("models"))
    model = right.selectbox("Model", models, index=models.index("timm") if "timm" in models else 0, **kept("kind"))
    params = left.text_area("Model parameters (YAML)", yaml.safe_dump(EXAMPLE.get(model, {}), sort_keys=False),
                            **kept(f"params-{model}"))  # fmt: skip
    weights = right.text_input("File of the weights", "weights.safetensors", help="beside the YAML", **kept("weights"))
    sha256 = right.text_input("Its SHA-256", help="what `sha256sum FILE` prints", **kept("sha256"))
    data = left.text_input("Trained on", "our radiographs", **kept("data"))
    recipe = right.text_input("Recipe", "cross-entropy, 30 epochs", **kept("recipe"))
    threat = left.text_input(
        "Threat model of adversarial training", help="such as linf 0.5/255; leave it empty for none", **kept("threat")
    )
    splits = right.text_input("Splits of that data", "train", help="separated by spaces", **kept("splits"))
    seed = left.number_input("Seed of its draws", min_value=0, value=None, step=1, **kept("seed"),
                             help="twins of the same network, data and seed are compared")  # fmt: skip
    made = {
        "name": name, "title": title, "authors": _split(authors, ","), "contact": contact, "licence": licence,
        "benchmarks": benchmarks, "model": {"name": model, "params": _yaml(params)},
        "weights": {"file": weights, "sha256": sha256} if weights else None,
        "training": {"data": data, "splits": _split(splits), "recipe": recipe, "threat": threat, "seed": seed},
        "links": _split(links),
    }  # fmt: skip
    text = yaml.safe_dump(_without_blanks(made), sort_keys=False, allow_unicode=True)
    st.code(text, language="yaml")
    _say(text)
    st.download_button("submission.yaml", text, "submission.yaml", "text/yaml", on_click="ignore")


def _check() -> None:
    text = st.text_area("Paste a submission.yaml", height=320, **kept("pasted"))
    if text:
        _say(text)


def _say(text: str) -> None:
    """What is wrong with a submission, line by line; its weights are not looked for."""
    faults = faults_in(text)
    if faults:
        st.warning(f"{len(faults)} to mend:")
        st.text("\n".join(faults))
    else:
        st.success("Nothing is wrong with its form. Files were not looked for: `fracbench validate` does that, and "
                   "`fracbench doctor` looks at the model.")  # fmt: skip


def kept(key: str) -> dict[str, Any]:
    """What makes a field keep what was typed while its reader looks at other pages."""
    return {"key": key, "persist_state": "session"}


def _split(words: str, by: str | None = None) -> list[str]:
    return [word.strip() for word in words.split(by) if word.strip()]


def _yaml(text: str) -> Any:
    try:
        node, said = parse(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text  # the check says what is wrong
    return text if node is not None and said is None else said or {}


def _without_blanks(of: Any) -> Any:
    if isinstance(of, dict):
        kept = {key: _without_blanks(value) for key, value in of.items()}
        return {key: value for key, value in kept.items() if value not in ("", None, [], {}) or key == "benchmarks"}
    return of
