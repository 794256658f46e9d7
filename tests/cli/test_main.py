"""The command line's front door: help, unknown verbs, exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest

from geomeld.cli import VERBS, main, usage
from geomeld.testing import tiny_dataset


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "geomeld", *words], capture_output=True, text=True, check=False)


def test_help_lists_every_verb_and_imports_nothing_heavy() -> None:
    heavy = "print(sorted(set(sys.modules) & {'numpy', 'torch', 'tyro'}))"
    code = "import sys, geomeld.cli; print(geomeld.cli.usage()); " + heavy
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(f"  {verb}" in out for verb in VERBS)
    assert out.strip().endswith("[]")


def test_help_and_no_words(capsys) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert done.value.code == 0
    assert capsys.readouterr().out.strip() == usage().strip()
    with pytest.raises(SystemExit) as done:
        main([])
    assert done.value.code == 2


def test_unknown_verb_suggests_the_nearest() -> None:
    result = run("biuld")
    assert result.returncode == 2
    assert "did you mean build?" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_answers_help(verb: str) -> None:
    result = run(verb, "--help")
    assert result.returncode == 0, result.stderr
    assert f"geomeld {verb}" in result.stdout


def test_version() -> None:
    assert run("--version").stdout.strip().count(".") == 2


def test_a_panel_is_a_png_whatever_its_name_and_nothing_is_left_where_it_cannot_lie(tmp_path: Path, capsys) -> None:
    tiny_dataset(tmp_path / "data", 1)
    taken = tmp_path / "taken"
    taken.mkdir()
    for name, code in ((tmp_path / "panel.odd", 0), (taken, 1)):
        with pytest.raises(SystemExit) as done:
            main(["show", str(tmp_path / "data"), "--panel", str(name)])
        assert done.value.code == code
    assert (tmp_path / "panel.odd").read_bytes().startswith(b"\x89PNG")
    assert f"({taken})" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "panel.odd", "taken"]
