"""What is read from the source of libraries is what they say when they are imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torchvision
from fracbench import libraries, registry
from fracbench.errors import InputError
from fracbench_plugins.models.robustbench_model import _Zoo


def test_every_architecture_of_the_libraries_is_known() -> None:
    code = "import timm; print(*timm.list_models())"  # in a process of its own: RobustBench registers more
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert libraries._architectures("timm") == set(done.stdout.split())
    assert libraries._architectures("torchvision") == set(torchvision.models.list_models(module=torchvision.models))


def test_every_backbone_of_the_zoo_is_known_with_its_place() -> None:
    zoo = {place: list(names) for place, names in _Zoo()._models.items() if place[0] != "cifar100" and names}
    assert libraries._zoo() == zoo and len(libraries.zoo_names()) > 100


@pytest.mark.parametrize(
    "model, params, says",
    [
        ("timm", {"architecture": "resnet19"}, ["timm has no architecture 'resnet19'. Did you mean 'resnet18'?"]),
        ("timm", {"architecture": "resnet18"}, []),
        ("timm", {"architecture": 3}, []),
        ("torchvision", {"architecture": "fcn_resnet50"}, ["torchvision has no architecture 'fcn_resnet50'."]),
        ("robustbench", {"backbone": "Salman2020Do_R18"}, []),
        ("robustbench", {"backbone": "Salman2020Do_R18", "dataset": "cifar10"}, ["It is there for dataset: imagenet"]),
        (
            "robustbench",
            {"backbone": "Salman2020Do_R18", "dataset": "cifar100"},
            ["'cifar100'; use cifar10 or imagenet"],
        ),
        ("another", {"architecture": "resnet19"}, []),
    ],
)
def test_a_name_that_a_library_lacks_is_a_fault(model: str, params: dict[str, object], says: list[str]) -> None:
    found = list(libraries.faults(model, params))
    assert len(found) == len(says)
    assert all(key in params and wanted in fault for (key, fault), wanted in zip(found, says, strict=True))


def test_it_takes_no_torch() -> None:
    code = (
        "import sys; from fracbench import libraries; "
        "assert list(libraries.faults('timm', {'architecture': 'x'})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_where_the_source_does_not_tell_the_library_has_the_last_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "_source", lambda *_: Path("/dev/null"))
    libraries._architectures.cache_clear()
    libraries._zoo.cache_clear()
    try:
        assert not list(libraries.faults("timm", {"architecture": "resnet19"}))
        assert not list(libraries.faults("robustbench", {"backbone": "nobody"}))
        with pytest.raises(InputError, match="timm cannot build resnet19"):
            registry.make("models", "timm", {"architecture": "resnet19"})
    finally:
        libraries._architectures.cache_clear()
        libraries._zoo.cache_clear()
