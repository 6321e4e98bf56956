"""`faults`: every fault of the reliability list, injected; what was survived, and a line for each that was not.

A row of the list is a number, the fault, and the tests that inject it: children of the real command line against the
scripted server where a process can be struck from outside (``tests/test_faults.py``, ``tests/test_kill.py``), tests on
a fake clock where thousands of calls or every single instant are meant. The tests are the project's own, so this verb
needs its checkout and its ``test`` extra. A row is survived if all of its tests ran and passed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness.core.errors import CheckFailed, InputError
from harness.core.messages import Struct

ROOT = Path(__file__).parent.parent.parent.parent


class FaultRow(Struct, frozen=True, kw_only=True):
    """One fault."""

    number: int
    fault: str
    tests: tuple[str, ...]
    """``file`` or ``file::test`` below ``tests/``; none: not tried here, and ``elsewhere`` says why."""
    elsewhere: str = ""


def _row(number: int, fault: str, *tests: str, elsewhere: str = "") -> FaultRow:
    return FaultRow(number=number, fault=fault, tests=tests, elsewhere=elsewhere)


def can_browse() -> bool:
    """Whether a browser can be driven here, as ``tests/test_browser.py`` finds it."""
    there = os.environ.get("RSO_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    return bool(there) and find_spec("playwright") is not None


_SCRIPTS = "scripts in texts, titles, names"
BROWSER_ROW = _row(
    36,
    _SCRIPTS,
    "test_browser.py::test_hostile_text_is_inert",
    "test_browser.py::test_the_policy_stops_a_script_that_got_in_all_the_same",
    "test_report.py::test_no_word_of_a_model_is_markup",
)
BROWSERLESS_ROW = _row(36, _SCRIPTS, elsewhere="there is no Chromium to be driven here (RSO_CHROMIUM, playwright)")
F = "test_faults.py::test_"
L = "test_log_damage.py::test_"
ROWS: tuple[FaultRow, ...] = (
    _row(1, "kill -9 at random instants, many times", "test_kill.py::test_ten_kills"),
    _row(2, "kill -9 in the middle of a record", f"{F}02_killed_in_the_middle_of_a_record"),
    _row(3, "kill -9 during resume, and again", "test_kill.py::test_ten_kills"),
    _row(4, "kill -9 between an update and its checkpoint", f"{F}04_killed_between_an_update_and_its_checkpoint"),
    _row(5, "kill -9 in the middle of a checkpoint", f"{F}05_killed_in_the_middle_of_a_checkpoint"),
    _row(6, "server dies, back 30 s later", f"{F}06_the_server_dies_and_is_back_30_seconds_later"),
    _row(7, "server never comes back", f"{F}07_the_server_never_comes_back"),
    _row(8, "server hangs with the socket open", f"{F}08_the_server_hangs_with_the_socket_open"),
    _row(
        9,
        "2,000 cancelled calls under contention",
        "test_transport.py::test_after_two_thousand_cancelled_calls_the_next_hundred_succeed_and_no_socket_leaks",
    ),
    _row(
        10,
        "429 with and without Retry-After",
        f"{F}10_too_many_requests",
        "test_llm.py::test_a_burst_of_429_halves_the_calls_under_way_once_and_good_answers_restore_them",
    ),
    _row(11, "500, 502, reset, half a body", f"{F}11_what_passes_is_retried"),
    _row(
        12,
        "400, 401, 404, context too long",
        f"{F}12_a_refused_request_is_not_retried_and_fails_its_conversation",
        f"{F}12_what_no_retry_can_mend_stops_the_run",
    ),
    _row(13, "200 with HTML or cut JSON", f"{F}13_html_with_status_200"),
    _row(14, "verdicts that are none", f"{F}14_verdicts_that_are_none", "test_fuzz.py::test_judge_replies"),
    _row(
        15,
        "fewer than the quorum of samples",
        f"{F}15_below_the_quorum_the_reward_is_missing",
        f"{F}15_a_judge_of_whom_nothing_can_be_read_stops_the_run",
    ),
    _row(16, "empty or blank reply", f"{F}16_blank_replies"),
    _row(17, "reply of 100,000 characters", f"{F}17_a_reply_of_100_000_characters"),
    _row(
        18,
        "NUL, lone surrogate, U+2028, bidi, ESC in text",
        f"{F}18_any_character_in_a_reply_reads_back_equal",
        "test_eventlog.py::test_any_text_reads_back_equal",
        "test_tape.py::test_any_reply_comes_back_equal",
        "test_replay.py::test_a_transcript_shows_text_and_nothing_else",
    ),
    _row(19, "NaN in the planner", f"{F}19_no_numbers_in_the_planner"),
    _row(
        20,
        "simulator speaks as the recommender, or never ends",
        f"{F}20_a_seeker_that_speaks_as_the_recommender_and_never_ends",
        "test_seeker.py::test_speaking_as_the_recommender_is_flagged",
    ),
    _row(
        21,
        "dataset: columns, literals, ids, encoding, empty",
        "test_inspired.py::test_missing_columns_are_named",
        "test_inspired.py::test_a_bad_row_is_named_and_can_be_skipped_with_its_dialogue",
        "test_inspired.py::test_no_more_bad_rows_than_allowed",
        "test_inspired.py::test_byte_order_mark_crlf_and_first_label_are_accepted",
        "test_inspired.py::test_files_that_are_missing_or_empty",
        "test_redial.py::test_a_bad_row_is_named_and_can_be_skipped",
        "test_redial.py::test_a_conversation_may_not_occur_twice",
        "test_redial.py::test_files_that_are_missing_or_empty",
        "test_fuzz.py::test_dataset_rows",
    ),
    _row(
        22, "unknown strategy label", "test_inspired.py::test_a_bad_row_is_named_and_can_be_skipped_with_its_dialogue"
    ),
    _row(
        23,
        "disk full during log, during checkpoint",
        f"{F}23_a_disk_that_is_full_for_the_log",
        f"{F}23_a_disk_that_is_full_for_a_checkpoint",
    ),
    _row(24, "read-only or existing run directory", f"{F}24_a_directory_that_exists_or_cannot_be_made"),
    _row(25, "two processes, one run directory", f"{F}25_two_processes_in_one_directory"),
    _row(26, "SIGINT once", f"{F}26_interrupted_once_it_drains"),
    _row(27, "SIGINT twice; SIGTERM", f"{F}27_interrupted_for_good"),
    _row(
        28,
        "cancellation at every checkpoint of a conversation",
        "test_cancellation.py::test_at_every_step_of_a_conversation",
        "test_llm.py::test_cancelling_a_call_cancels_its_request_and_frees_its_slot",
        "test_lane.py::test_cancelling_a_caller_cancels_its_call_and_no_other",
    ),
    _row(
        29,
        "one conversation of 300 raises",
        f"{F}29_one_conversation_raises",
        "test_scheduler.py::test_300_live_conversations_and_one_that_raises",
    ),
    _row(30, "errors above fail_on_error", f"{F}30_too_many_errors_stop_the_run"),
    _row(31, "same seed at concurrency 1, 8, 64, 256", f"{F}31_one_digest_at_any_concurrency"),
    _row(32, "resume with a changed config", f"{F}32_resumed_with_another_config"),
    _row(33, "resumed against uninterrupted run", f"{F}33_resumed_against_uninterrupted"),
    _row(
        34,
        "pickled weights, code in checkpoints",
        "test_text_encoder.py::test_pickled_weights_are_refused",
        "test_text_encoder.py::test_code_in_a_checkpoint_is_not_run",
        "test_checkpoint.py::test_pickles_are_refused",
    ),
    _row(
        35,
        "corrupt or foreign index or checkpoint",
        f"{F}35_a_damaged_or_foreign_checkpoint",
        "test_entity_index.py::test_a_damaged_entry_is_rejected_with_a_warning_and_built_anew",
        "test_entity_index.py::test_an_entry_of_another_model_under_this_name_is_rejected",
        "test_checkpoint.py::test_damaged_files_are_refused_before_they_are_read",
        "test_checkpoint.py::test_a_foreign_checkpoint_names_what_differs",
    ),
    BROWSER_ROW if can_browse() else BROWSERLESS_ROW,
    _row(
        37,
        "planted scores, fake rubrics, forged speakers",
        f"{F}37_a_planted_score",
        "test_prompts.py::test_a_message_cannot_open_a_section_or_forge_a_speaker",
        "test_reward.py::test_anything_else_is_none",
    ),
    _row(
        38,
        "../, absolute paths, links, NUL in names and paths",
        f"{F}38_names_and_paths_that_lead_out",
        f"{F}38_a_link_in_place_of_a_directory",
    ),
    _row(39, "API key in env, URL, error body, config", f"{F}39_no_key_is_written_anywhere"),
    _row(40, "token, call or time budget reached", f"{F}40_a_budget_ends_the_run_cleanly"),
    _row(
        41,
        "every conversation fails, or none can be scored",
        "test_failures.py::test_41_a_role_that_always_fails",
        "test_failures.py::test_41_only_the_last_phase_fails",
        "test_failures.py::test_41_the_share_is_that_of_the_whole_run",
        "test_failures.py::test_41_a_run_of_a_few_conversations",
        "test_outcomes.py",
        "test_scheduler.py::test_a_phase_of_a_few_conversations_is_checked",
    ),
    _row(
        42,
        "a whole summary beside a log that is emptied, torn or changed",
        f"{L}no_command_believes_the_summary",
        f"{L}a_log_that_is_damaged_inside_is_not_gone_on_with",
        "test_checkedlines.py::test_any_changed_character_is_noticed_in_its_line",
        "test_checkedlines.py::test_what_happens_to_whole_lines_is_noticed_at_the_next",
    ),
    _row(44, "log older than its checkpoints", f"{L}what_a_cut_log_lacks_is_played_again"),
    _row(
        50,
        "damaged metrics, damaged tape, a tape that is a directory",
        f"{L}derived_files_are_made_again_and_the_tape_is_not_appended_to",
        "test_app_files.py::test_damaged_metrics_are_named_set_aside_and_begun_anew",
        "test_tape.py::test_a_tape_that_is_damaged_inside_is_not_appended_to",
        "test_tape.py::test_a_directory_in_the_place_of_a_tape_is_named",
    ),
    _row(
        43,
        "a label read without mass",
        f"{F}43_a_label_read_without_mass_is_no_reward",
        "test_reward.py::test_labels_without_mass_give_no_reward",
        "test_examiner.py::test_labels_without_mass_are_missing",
        "test_prompted_planner.py::test_letters_without_mass_are_no_choice",
        "test_cautions.py::test_readings_without_mass_are_told_by_their_share_not_by_their_mean",
        "test_llm.py::test_labels_that_are_one_token_are_refused",
        "test_llm.py::test_a_token_with_two_log_probabilities_is_unreadable",
    ),
    _row(
        57,
        "402, insufficient_quota, expired credit",
        "test_failures.py::test_57_nothing_left_to_pay_with",
        "test_llm.py::test_nothing_left_to_pay_with_stops_the_run_at_once",
        "test_llm.py::test_other_refusals_are_not_taken_for_it",
    ),
    _row(
        58,
        "failed conversations are played again, also with kills in between",
        "test_failures.py::test_58_failed_conversations_are_played_again",
        "test_failures.py::test_58_killed_while_playing_again",
    ),
    _row(
        60,
        "thinking models: thoughts before, without a beginning, cut, in fields of their own",
        f"{F}60_thoughts_reach_nobody",
        f"{F}60_only_thought_is_no_reply",
        "test_thoughts.py",
        "test_llm.py::test_thoughts_are_taken_out_of_every_reply_and_counted",
    ),
    _row(
        61,
        "a server that ignores n, or the schema",
        f"{F}61_a_server_that_ignores_n_stops_the_run",
        f"{F}61_a_server_that_does_not_honour_the_schema_stops_the_run",
        "test_llm.py::test_fewer_replies_than_asked_stop_the_run_and_more_are_left_out",
    ),
    _row(
        62,
        "a judge with a form of its own, or with none that can be read",
        f"{F}62_a_judge_with_a_form_of_its_own_is_read",
        f"{F}15_a_judge_of_whom_nothing_can_be_read_stops_the_run",
        "test_reward.py::test_forms_that_can_mean_nothing_else_are_ratings",
        "test_reward.py::test_anything_else_is_none",
        "test_watch.py",
    ),
    _row(
        64,
        "films named `&ME`, `Mom`, `1922`; films of another year; one film in two records",
        "test_titles.py",
        "test_knowledge_graph.py::test_a_film_with_and_without_its_year_is_one_record_of_two_ids",
    ),
    _row(
        65,
        "a strategy or persona that the scripted world has no rule for",
        f"{F}65_what_the_world_has_no_rule_for_is_refused_before_anything_is_played",
        "test_scripted_roles.py::test_a_strategy_or_persona_without_a_rule_is_refused_by_name",
    ),
    _row(
        66,
        "edited prompt, persona, strategy or world; another commit or version",
        f"{F}66_another_prompt_is_refused_and_named_and_goes_on_only_if_accepted",
        f"{F}66_another_commit_goes_on_and_is_recorded_at_its_first_episode",
        "test_identity.py",
        "test_comparison.py::test_another_text_is_refused_by_its_cells_and_accepted_once",
    ),
    _row(
        67,
        "a baseline that raises in every dialogue; a worker process that dies; a cell that kills every worker",
        "test_comparison.py::test_a_baseline_that_raises_in_every_dialogue_fails_with_its_reason_and_is_played_again",
        "test_grid_engine.py::test_a_worker_that_dies_is_replaced_and_its_order_played_again",
        "test_grid_engine.py::test_an_order_that_kills_every_worker_fails_and_the_others_are_played",
    ),
    _row(
        68,
        "20,000 finished episodes in memory",
        "test_memory.py::test_no_finished_episode_is_kept",
        "test_memory.py::test_twenty_thousand_episodes_need_the_memory_of_two_thousand",
    ),
    _row(
        69,
        "small changes of returns, objective, estimators, reward and measures",
        "test_returns.py::test_of_two_equally_near_turns_the_earlier_one_is_the_baseline",
        "test_offpolicy_formulas.py::test_every_estimator_is_its_formula",
        "test_dialogue_measures.py::test_persuasiveness_by_hand",
        "test_mutants.py",
    ),
)
"""The reliability list, in its order."""


def faults(numbers: Sequence[int], console: Console) -> None:
    """Inject the faults of these rows (of all, where none is named) and print survived / tried.

    `CheckFailed` if one was not survived, `InputError` where the tests are not there to be run.
    """
    rows = [row for row in ROWS if not numbers or row.number in numbers]
    if not rows:
        raise InputError(f"there is no row {', '.join(str(number) for number in numbers)}; known: {_ranges()}")
    if not (ROOT / "tests").is_dir() or find_spec("pytest") is None:
        raise InputError("the faults are tests of the project: run from its checkout, installed with the test extra")
    began = time.monotonic()
    outcomes = _run(sorted({test for row in rows for test in row.tests}), console)
    survived, tried = 0, 0
    for row in rows:
        if not row.tests:
            console.print(Text(f"{row.number:>3}  not tried  {row.fault}: {row.elsewhere}"), soft_wrap=True)
            continue
        tried += 1
        wrong = [problem for test in row.tests for problem in problems(test, outcomes)]
        survived += not wrong
        console.print(Text(f"{row.number:>3}  {'FAILED    ' if wrong else 'survived  '} {row.fault}"), soft_wrap=True)
        for problem in wrong:
            console.print(Text(f"       {problem}"), soft_wrap=True)
    console.print(
        Text(
            f"survived {survived} / {tried} tried, {len(rows) - tried} not tried here; {time.monotonic() - began:.0f} s"
        )
    )
    if survived < tried:
        raise CheckFailed(f"{tried - survived} of {tried} faults were not survived")


def _ranges() -> str:
    """``1-40, 66``."""
    numbers = [row.number for row in ROWS]
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))


class Outcome(Struct, frozen=True, kw_only=True):
    """One test with its parameters."""

    name: str
    """``file::test[parameters]``."""
    message: str
    """Empty: passed."""


def problems(test: str, outcomes: Sequence[Outcome]) -> list[str]:
    """Why a row's test does not count as passed: the failures of its parameters, or that it did not run."""
    # A file stands for all of its tests, a test for all of its parameters.
    its = [o for o in outcomes if o.name == test or o.name.startswith((f"{test}[", f"{test}::"))]
    if not its:
        return [f"{test}: did not run"]
    return [f"{outcome.name}: {outcome.message}" for outcome in its if outcome.message]


def _run(tests: Sequence[str], console: Console) -> list[Outcome]:
    """All tests in one pytest; what it prints is shown only if it could not run."""
    with tempfile.TemporaryDirectory(prefix="rso-faults-") as folder:
        report = Path(folder) / "report.xml"
        console.print(Text(f"running {len(tests)} tests"))
        options = ["-q", "-m", "not vllm", "--tb=short", f"--junitxml={report}", "-o", "junit_family=xunit1"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *(f"tests/{test}" for test in tests)],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 1) or not report.exists():
            raise CheckFailed(f"pytest could not run the faults:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return read_report(report.read_text(encoding="utf-8"))


def read_report(text: str) -> list[Outcome]:
    """pytest's JUnit report -> outcomes; a skipped test did not pass."""
    found = []
    for case in ElementTree.fromstring(text).iter("testcase"):
        file = Path(case.get("file", "")).name
        message = ""
        for kind in ("failure", "error", "skipped"):
            problem = case.find(kind)
            if problem is not None:
                first = (problem.get("message") or kind).strip().split("\n")[0]
                message = f"{kind}: {first[:300]}"
        found.append(Outcome(name=f"{file}::{case.get('name', '')}", message=message))
    return found
