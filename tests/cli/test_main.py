"""The command line's front door: help, unknown verbs, exit codes."""

import subprocess
import sys

import pytest

from geomeld.cli import VERBS, main, usage


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
