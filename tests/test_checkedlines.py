"""Damage anywhere in a file of checked lines is noticed where it is; what is whole reads back equal."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import DataError, InputError
from harness.core.log.checkedlines import Chain, chain_of, check_lines, fits, mark_of, read_lines, record_of, repair

RECORDS = [b'{"a":1,"b":"x"}', b'["call",2,"",""]', b'{"a":0.3,"b":"\\n"}', b'{"a":null}', b'["call",{"c":1}]']


def written(path: Path, records: list[bytes]) -> list[bytes]:
    """The lines of a file that was written in two sittings."""
    chain = Chain()
    path.write_bytes(b"".join(chain.sealed(record) for record in records[:2]))
    chain = chain_of(path)
    with path.open("ab") as file:
        file.write(b"".join(chain.sealed(record) for record in records[2:]))
    return path.read_bytes().splitlines(keepends=True)


def test_lines_are_json_and_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    lines = written(path, RECORDS)
    assert [line.record for line in read_lines(path, "it")] == RECORDS
    assert [record_of(line) for line in lines] == RECORDS
    assert all(line.checked for line in read_lines(path, "it"))
    for record, line in zip(RECORDS, lines, strict=True):
        plain, checked = msgspec.json.decode(record), msgspec.json.decode(line)
        assert checked.items() >= plain.items() if isinstance(plain, dict) else checked[:-1] == plain


def found_at(path: Path) -> int | None:
    try:
        check_lines(path, "it")
    except DataError as error:
        return int(str(error).split(":")[1])
    return None


def test_what_happens_to_whole_lines_is_noticed_at_the_next(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    one, two, three, four, five = written(path, RECORDS)
    for changed, line in (
        ([two, three, four, five], 1),
        ([one, three, four, five], 2),
        ([one, two, two, three, four, five], 3),
        ([one, three, two, four, five], 2),
        ([one, two, b'{"a":1}\n', three, four, five], 3),
        ([one, two, b"\n", three], 3),
        ([one, two, three], None),  # nothing in the file tells: a mark does
        ([], None),
    ):
        path.write_bytes(b"".join(changed))
        assert found_at(path) == line


@given(st.data())
def test_any_changed_character_is_noticed_in_its_line(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "changed"
    lines = written(path, RECORDS)
    whole = bytearray(path.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 2))
    whole[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    line = 1 + b"".join(lines)[:at].count(b"\n")
    if line > 1:
        assert found_at(path) == line
    else:
        # Of the first line's own check nothing is known yet, where it is no check any more the second line tells.
        assert found_at(path) in (1, 2)


def test_lines_of_before_there_were_checks_are_read(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(b"".join(record + b"\n" for record in RECORDS))
    assert [line.record for line in read_lines(path, "it")] == RECORDS
    assert not check_lines(path, "it")
    with path.open("ab") as file:
        file.write(chain_of(path).sealed(b'{"c":1}'))
    assert not check_lines(path, "it")
    assert [line.checked for line in read_lines(path, "it")] == [False] * 5 + [True]


def test_reading_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    lines = written(path, RECORDS)
    path.write_bytes(b"".join(lines[:3]) + lines[3][:7])
    chain = Chain()
    last = list(read_lines(path, "it", chain=chain))[-1]
    assert last.number == 3
    path.write_bytes(b"".join(lines))
    rest = list(read_lines(path, "it", start=last.end, number=last.number, chain=chain))
    assert [line.record for line in rest] == RECORDS[3:]
    assert [line.number for line in rest] == [4, 5]


def test_a_mark_tells_what_is_missing_or_another(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    lines = written(path, RECORDS)
    mark = mark_of(path)
    with path.open("ab") as file:
        file.write(b"more\n")
    assert fits(path, mark)
    for content in (b"", b"".join(lines[:4]), path.read_bytes().replace(b"0.3", b"0.2")):
        path.write_bytes(content)
        assert not fits(path, mark)
    path.unlink()
    assert not fits(path, mark)
    assert fits(path, mark_of(path))


def test_a_directory_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Is a directory"):
        repair(tmp_path)
    with pytest.raises(InputError, match="cannot read it .*Is a directory"):
        check_lines(tmp_path, "it")
