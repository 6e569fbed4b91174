"""What is installed is what stands in the checkout, under one name, and works far away from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = {"genrec": "genrec", "tokenizer": "genrec.tokenizer"} | {
    name: f"genrec.{name}" for name in ("train", "serve")
}


def packages_on_disk() -> set[str]:
    """The package of every folder with Python files, as it is called once installed."""
    found = set()
    for folder, package in FOLDERS.items():
        for file in (ROOT / folder).rglob("*.py"):
            inner = file.parent.relative_to(ROOT / folder).parts
            found.add(".".join([package, *inner]))
    return found


def test_the_packages_in_pyproject_are_the_folders_on_disk() -> None:
    declared = PROJECT["tool"]["setuptools"]["packages"]
    assert sorted(declared) == sorted(packages_on_disk())


def test_every_package_opens_with_an_init_file() -> None:
    for folder in FOLDERS:
        for file in (ROOT / folder).rglob("*.py"):
            assert (file.parent / "__init__.py").is_file(), f"{file.parent} has no __init__.py"


def test_every_dependency_is_pinned_in_the_constraints() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0] for line in lines if "==" in line and not line.startswith("#")}
    extras = PROJECT["project"]["optional-dependencies"].values()
    declared = PROJECT["project"]["dependencies"] + [name for extra in extras for name in extra]
    names = {requirement.split(">=")[0] for requirement in declared}
    assert names - pinned == set()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a build leaves files beside its sources."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for folder in FOLDERS:
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, source / folder, ignore=unwanted)
    target = tmp_path_factory.mktemp("wheel")
    build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(target), str(source)]
    finished = subprocess.run(
        [sys.executable, *build], capture_output=True, text=True, cwd=target, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    [built] = target.glob("*.whl")
    return built


def test_the_wheel_brings_genrec_and_no_other_top_level_name(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"genrec", f"genrec-{PROJECT['project']['version']}.dist-info"}


def test_the_wheel_holds_every_source_file_its_types_and_its_templates(wheel: Path) -> None:
    wanted = {
        str(Path(package.replace(".", "/")) / file.relative_to(ROOT / folder))
        for folder, package in FOLDERS.items()
        for pattern in ("*.py", "py.typed", "*.html", "*.md", "*.yaml")
        for file in (ROOT / folder).rglob(pattern)
    }
    held = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("genrec/")}
    assert held == wanted


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment: genrec from the wheel, all else from this one."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home, with_pip=False)
    python = home / "bin" / "python"
    flags = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", str(python), *flags], check=True)
    [packages] = home.glob("lib/*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def run_elsewhere(command: list[str | Path], folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    finished = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_the_installed_package_is_the_wheels_and_not_the_checkouts(
    installed: Path, tmp_path: Path
) -> None:
    script = "import genrec; print(genrec.__file__)"
    assert str(installed.parent.parent) in run_elsewhere([installed, "-c", script], tmp_path)


def test_the_installed_command_lists_its_programs_and_its_version(
    installed: Path, tmp_path: Path
) -> None:
    listing = run_elsewhere([installed, "-m", "genrec"], tmp_path)
    assert "train generator" in listing
    version = run_elsewhere([installed.parent / "genrec", "--version"], tmp_path)
    assert version == f"genrec {PROJECT['project']['version']}\n"


def test_every_installed_program_explains_itself(installed: Path, tmp_path: Path) -> None:
    script = """
import json
from genrec.__main__ import PROGRAMS, main, module_name
for name in PROGRAMS:
    main([*name.split(), "--help"])
print(json.dumps([module_name(program) for program in PROGRAMS.values()]))
"""
    printed = run_elsewhere([installed, "-c", script], tmp_path)
    modules = json.loads(printed.splitlines()[-1])
    assert all(module.startswith("genrec.") for module in modules)
    assert "Usage: genrec train generator" in printed


def test_an_installed_program_runs_by_its_module_name(installed: Path, tmp_path: Path) -> None:
    module = "genrec.serve.doctor"
    assert module in run_elsewhere([installed, "-m", module, "--help"], tmp_path)


@pytest.mark.parametrize("name", ["train", "train.generator", "genrec.serve", "pickle"])
def test_ruff_refuses_what_nobody_may_import(name: str) -> None:
    command = [sys.executable, "-m", "ruff", "check", "--stdin-filename", "genrec/new.py", "-"]
    finished = subprocess.run(
        command,
        input=f'"""New."""\n\nimport {name}\n\n__all__ = ["{name.split(".", maxsplit=1)[0]}"]\n',
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert finished.returncode == 1
    assert "TID251" in finished.stdout
