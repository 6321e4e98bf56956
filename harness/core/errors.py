"""One small vocabulary of failures.

Foreign exceptions are translated into these once, at the border where they enter. Each message is one clear
sentence that names the thing; the command line prints it as it stands and exits with ``exit_code``.
A bug (any other exception) is never caught as if it were one of these.
"""

from __future__ import annotations

from collections.abc import Iterator


class HarnessError(Exception):
    """Base of every expected failure. ``exit_code`` is what the command line returns for it."""

    exit_code = 1


class CheckFailed(HarnessError):
    """A check that the user asked for did not hold (``doctor``, ``replay --verify``)."""


class CellsFailed(HarnessError):
    """Cells of a study or a comparison failed; the others were played, and the same command plays these again."""


class InputError(HarnessError):
    """The user's input (config, path, option, checkpoint) cannot be used; found before any model call."""

    exit_code = 2


class ConfigError(InputError):
    """A configuration key is unknown, missing or out of bounds; the message names the key's path."""


class DataError(InputError):
    """A dataset row or file is unusable; the message names file:line:column."""


class RunStopped(HarnessError):
    """The run stopped early but is resumable: budget spent, server lost, disk full, too many errors, 401/404."""

    exit_code = 3


class RunFailed(RunStopped):
    """Too many conversations failed, or none could be scored: what was played does not count as a result.

    Resumable like every `RunStopped`, but going on is no cure: the failed conversations have to be played again.
    """


class Interrupted(HarnessError):
    """A signal ended the run; what is finished is on disk, and the run can be resumed."""

    exit_code = 130


class ExpertError(HarnessError):
    """An expert could not do its part of one turn; that conversation is censored, its siblings are unharmed."""

    kind = "expert"


class CallError(ExpertError):
    """A model call failed for good: retries spent, deadline passed, or an answer that is not retried."""

    kind = "call"


class ReplyError(ExpertError):
    """A model answered, but nothing usable could be read from the answer within the bounded repair tries."""

    kind = "reply"


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions of a group at any depth, in order; an exception that is no group gives itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def expected_failure(group: BaseExceptionGroup[BaseException]) -> HarnessError:
    """The gravest failure of a group of expected failures; re-raises the group if it holds a bug.

    Ctrl-C in any task gives an interruption, whatever errors the other tasks have.
    """
    found = list(leaves(group))
    expected = [error for error in found if isinstance(error, HarnessError)]
    if any(isinstance(error, KeyboardInterrupt) for error in found):
        return Interrupted("interrupted")
    if len(expected) < len(found):
        raise group
    return max(expected, key=lambda error: error.exit_code)
