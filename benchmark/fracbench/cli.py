"""The command line. Heavy imports wait inside the commands, so that ``--help`` and ``list`` stay light."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import partial, wraps
from io import BytesIO
from pathlib import Path
from typing import Any

import click

from fracbench import __version__
from fracbench.errors import InputError

FOLDER = click.Path(path_type=Path)


def _shown(command: Callable[..., int | None]) -> Callable[..., None]:
    """Turn wrong input into one line per fault and status 2, Ctrl-C into advice, a return value into the status."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            status = command(*args, **kwargs)
        except InputError as error:
            for fault in error.faults:
                click.echo(f"error: {fault}", err=True)
            sys.exit(2)
        except KeyboardInterrupt:
            click.echo("\nstopped; what is finished is kept. Repeat the same command to go on.", err=True)
            sys.exit(130)
        sys.exit(status or 0)

    return run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fracbench")
def main() -> None:
    """Rank bone-fracture classifiers by adversarial robustness and by whether they look at the fracture."""
    # torch warns about its own use of torch.jit; nobody who runs a benchmark can do anything about it
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"torch\.jit")


@main.command("list")
@click.argument("kind", required=False)
@_shown
def list_(kind: str | None) -> None:
    """List registered plugins of KIND, and the benchmarks, recipes and architectures that ship with fracbench."""
    from fracbench import recipes, registry, specs

    if kind is None or kind in registry.KINDS:
        for of in registry.KINDS if kind is None else (kind,):
            click.echo(f"{of}:")
            rows = registry.listings(of)
            width = max((len(row.name) for row in rows), default=0)
            for row in rows:
                click.echo(f"  {row.name:<{width}}  {row.package}  {row.target}")
    shipped = {"benchmarks": specs.names, "recipes": recipes.names, "architectures": recipes.architectures}
    for of, found in shipped.items():
        if kind in (None, of):
            click.echo(f"{of}:")
            for name in found():
                click.echo(f"  {name}")
    if kind is not None and kind not in shipped:
        registry.names(kind)  # refuses a kind that is none


@main.command()
@click.argument("files", nargs=-1, required=True, type=FOLDER)
@_shown
def validate(files: tuple[Path, ...]) -> None:
    """Check submission FILES, folders or names without running anything: every fault as file:line: what to write."""
    from fracbench.submissions import default_dir, faults_of

    here = default_dir()
    files = tuple(here / file if not file.exists() and (here / file).is_dir() else file for file in files)
    files = tuple(file / "submission.yaml" if file.is_dir() else file for file in files)
    named = [
        f"{file}: must be called submission.yaml" for file in files if file.is_file() and file.name != "submission.yaml"
    ]
    if named:
        raise InputError(*named)
    faults: list[str] = []
    for file in files:
        found = faults_of(file)
        faults += found
        if not found:
            click.echo(f"{file}: good; whether the weights fit the model shows when it is run")
    if faults:
        raise InputError(*faults)
    for folder in dict.fromkeys(file.parent.parent for file in files):
        names = " ".join(file.resolve().parent.name for file in files if file.parent.parent == folder)
        click.echo(f"next: fracbench run {names}{_where(folder)}")


def _where(submissions: Path) -> str:
    """The option that finds this folder of submissions, where it is not the default."""
    from fracbench.submissions import default_dir

    return "" if submissions.resolve() == default_dir().resolve() else f" --submissions {submissions}"


@main.command()
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Run every submission that enters the benchmark.")
@click.option("--benchmark", default="phantom-v1", show_default=True, help="Benchmark spec.")
@click.option("--data", help="Folder of the dataset, where the benchmark needs one.")
@click.option("--split", help="Another split than the spec's, such as val.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--submissions", type=FOLDER, help="Folder of submissions.  [default: ./submissions, else the starters]")
@click.option("--results", type=FOLDER, help="Folder for results.  [default: beside each submission]")
@click.option("--limit", type=int, help="Only N images: a trial, marked custom and unranked.")
@click.option("--budget", type=float, default=1.0, help="Fraction of attack steps: a trial, marked custom.")
@click.option("--dry-run", is_flag=True, help="Print the plan: cells, passes, estimated minutes.")
@click.option("--ray", help="Address of a Ray cluster (not available yet).")
@_shown
def run(
    names: tuple[str, ...],
    everything: bool,
    benchmark: str,
    data: str | None,
    split: str | None,
    device: str,
    submissions: Path | None,
    results: Path | None,
    limit: int | None,
    budget: float,
    dry_run: bool,
    ray: str | None,
) -> int:
    """Evaluate submissions: every model x attack x explainer. Repeating the command does what is missing."""
    from fracbench import specs
    from fracbench.submissions import default_dir, discover

    if bool(names) == everything:
        raise InputError("name submissions to run, or pass --all (not both)")
    if ray is not None:
        raise InputError("--ray is not available in this version; leave it out to run on this machine")
    spec = specs.load(benchmark)
    entries = discover(submissions or default_dir(), results, names)
    for entry in entries:
        if names and spec.name not in entry.submission.benchmarks and limit is None and budget == 1 and not dry_run:
            listed = ", ".join(entry.submission.benchmarks)
            raise InputError(f"{entry.name} does not enter {spec.name} (it enters {listed}); add it to its benchmarks")
    if everything:
        # a trial run ranks nobody, so it takes whoever is there
        trial = limit is not None or budget < 1
        entries = [e for e in entries if trial or spec.name in e.submission.benchmarks]
        if not entries:
            raise InputError(
                f"no submission enters {spec.name}; list it under benchmarks in a submission.yaml, or try --limit 12"
            )

    from fracbench import data as radiographs
    from fracbench import printing, tasks
    from fracbench.board import read_board
    from fracbench.environment import pick_device, prepare
    from fracbench.plan import resolve

    device = pick_device(device)
    prepare(device)
    job = resolve(spec, data=data, split=split, limit=limit, budget=budget)
    todo = tasks.bind(entries, job, device)
    if dry_run:
        tasks.check(todo)
        plan = []
        for task in todo:
            click.echo(f"timing {task.entry.name} on this machine", err=True)
            plan.append((task.entry.name, tasks.estimate(task)))
        printing.print_plan(plan)
        return 0
    pending = [task for task in todo if not task.finished]
    for task in todo:
        if task not in pending:
            click.echo(f"{task.entry.name}: finished already in {task.folder.path}", err=True)
    if pending:
        models = ", ".join(task.entry.name for task in pending)
        click.echo(f"checking {sum(map(len, job.batches))} images and the models {models}", err=True)
        radiographs.check(job.dataset, job.batches, job.spec.image_size)
        tasks.check(pending)
        tasks.claim(pending)
    failures = _run_tasks(pending, job) if pending else []
    for line in failures:
        click.echo(f"failed cell: {line}", err=True)
    printing.print_board(read_board(*_places(submissions, results)), spec.name)
    options = [f" --submissions {submissions}" if submissions else "", f" --results {results}" if results else ""]
    click.echo(f"next: fracbench leaderboard{''.join(options)}")
    return 1 if failures else 0


def _run_tasks(pending: list[Any], job: Any) -> list[str]:
    """Run what is not finished, with progress; a line for each failed cell."""
    from fracbench.progress import Console
    from fracbench.tasks import run_submission

    cells = [cell for batch in range(len(job.batches)) for cell in job.cells(batch)]
    weight = sum(sum(job.passes(cell)) for cell in cells)
    failures = []
    with Console(len(cells) * len(pending), weight * len(pending)) as progress:
        for task in pending:
            progress.submission = task.entry.name
            for cell in run_submission(task, progress).failed:
                where = f"{cell['explainer']} on {cell['attack']}".removeprefix(" on ")
                failures.append(f"{task.entry.name}: {where}, batch {cell['batch']}: {cell['error']}")
    return failures


def _existing(*folders: Path | None) -> None:
    missing = [f"{folder}: no such folder" for folder in folders if folder is not None and not folder.is_dir()]
    if missing:
        raise InputError(*missing)


def _places(submissions: Path | None, results: Path | None) -> tuple[Path, Path | None]:
    """Where results are looked for: starters shipped in the wheel have theirs in ./results."""
    from fracbench.submissions import default_dir, results_dir

    folder = submissions or default_dir()
    if results is None and results_dir(folder, "x", None) == Path("results/x"):
        results = Path("results")
    return folder, results


@main.command()
@click.argument("names", nargs=-1)
@click.option("--benchmark", help="Only this benchmark spec.")
@click.option("--submissions", type=FOLDER, help="Folder of submissions.")
@click.option("--results", type=FOLDER, help="Folder of results, beside those in the submissions.")
@_shown
def summarise(names: tuple[str, ...], benchmark: str | None, submissions: Path | None, results: Path | None) -> None:
    """Recompute the scores from stored rows, without any model, and print the ranking."""
    from fracbench import printing, specs
    from fracbench.board import read_board, tolerant
    from fracbench.errors import did_you_mean
    from fracbench.store import find_results

    _existing(submissions, results)
    if benchmark is not None:
        specs.load(benchmark)

    folders = find_results(*_places(submissions, results))
    for name in names:
        if name not in {folder.submission for folder in folders}:
            hint = did_you_mean(name, {folder.submission for folder in folders})
            raise InputError(f"no results of '{name}'.{hint} Run it first: fracbench run {name}")
    broken: list[str] = []
    for folder in folders:
        if not names or folder.submission in names:
            tolerant(folder, partial(_summarise, folder, benchmark), broken)
    for line in broken:
        click.echo(f"not recomputed: {line}", err=True)
    printing.print_board(read_board(*_places(submissions, results)), benchmark)


def _summarise(folder: Any, benchmark: str | None) -> None:
    from fracbench import summary
    from fracbench.store import TABLES

    record = folder.run()
    if record is None or benchmark not in (None, record["spec"]):
        return
    ours = not folder.self_reported
    recomputed = summary.summarise(record, {name: folder.table(name) for name in TABLES})
    folder.write_summary(recomputed)
    if ours:
        folder.reseal()


@main.command()
@click.option("--submissions", type=FOLDER, help="Folder of submissions.")
@click.option("--results", type=FOLDER, help="Folder of results, beside those in the submissions.")
@click.option("--host", default="localhost", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
@_shown
def leaderboard(submissions: Path | None, results: Path | None, host: str, port: int) -> None:
    """Open the leaderboard in the browser."""
    from importlib.metadata import entry_points

    _existing(submissions, results)
    folder, results = _places(submissions, results)
    (launch,) = entry_points(group="fracbench.leaderboard", name="default")
    click.echo(f"leaderboard at http://{host}:{port} (stop with Ctrl-C)")
    launch.load()(folder, results, host, port)


@main.command("data")
@click.argument("kind")
@click.option("--data", help="Folder of the dataset, where it needs one.")
@click.option("--split", "splits", multiple=True, help="Only this split; can be given again.  [default: all]")
@click.option("--out", type=FOLDER, help="File to write.  [default: KIND-sheet.png]")
@_shown
def data_(kind: str, data: str | None, splits: tuple[str, ...], out: Path | None) -> None:
    """Make or read the dataset KIND and write a contact sheet of its splits, with fractures outlined."""
    from fracbench import registry
    from fracbench.files import check_writable, write_atomic

    registry.check_name("datasets", kind)
    if data is not None and not Path(data).is_dir():
        raise InputError(f"--data {data}: no such folder")
    file = out or Path(f"{kind}-sheet.png")
    if file.suffix != ".png" or not file.parent.is_dir() or file.is_dir():
        raise InputError(f"--out {file}: name a .png file in a folder that is there")
    check_writable(file.parent, "--out")
    from fracbench.sheet import contact_sheet

    dataset = registry.make("datasets", kind, {}, root=None if data is None else Path(data))
    picture = BytesIO()
    contact_sheet(dataset, splits or tuple(dataset.splits)).save(picture, format="PNG")
    write_atomic(file, picture.getvalue())
    click.echo(f"wrote {file}")


@main.command()
@click.argument("recipe")
@click.option("--architecture", default="resnet", show_default=True, help="A small network of the zoo.")
@click.option("--out", type=FOLDER, help="Submission folder to write.  [default: submissions/NAME as the recipe says]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--seed", type=int, help="Another seed than the recipe's.")
@click.option("--force", is_flag=True, help="Replace weights that are there.")
@_shown
def train(recipe: str, architecture: str, out: Path | None, device: str, seed: int | None, force: bool) -> None:
    """Train a starter from a RECIPE of the package into a submission folder; goes on where it was broken off."""
    from fracbench import recipes

    chosen, network = recipes.load(recipe), recipes.architecture(architecture)
    from fracbench import training
    from fracbench.environment import pick_device, prepare

    device = pick_device(device)
    prepare(device)
    folder = out or Path("submissions") / chosen.submission_name(architecture, chosen.seed if seed is None else seed)
    written = training.train(chosen, network, folder, device=device, seed=seed, force=force, report=click.echo)
    click.echo(f"wrote {written}")
    click.echo(f"next: fracbench run {folder.resolve().name}{_where(folder.resolve().parent)}")
