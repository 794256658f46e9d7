"""The documentation agrees with the program: tables, verbs, options, Python blocks, links."""

import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from geomeld.cli import VERBS

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def load_generator():
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


def test_table_of_modalities_is_current() -> None:
    generate = load_generator()
    assert (ROOT / "docs" / "format.md").read_text(encoding="utf-8") == generate.format_page()


@pytest.mark.slow
def test_command_line_page_is_current() -> None:
    generate = load_generator()
    stored = sections((ROOT / "docs" / "cli.md").read_text(encoding="utf-8"))
    # The wording of a frame belongs to the library that prints it; verbs and options are ours.
    assert stored == sections(generate.command_line_page()), "run python docs/generate.py"


def sections(page: str) -> dict[str, set[str]]:
    parts = page.split("\n## ")[1:]
    return {part.split("\n")[0]: set(re.findall(r"--[a-z][a-z-]*", part)) for part in parts}


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in blocks(page, "bash"):
            for line in re.split(r"\n|&&", block):
                words = line.split("#")[0].strip()
                if words.startswith("geomeld "):
                    found.append((page.name, words))
    return found


@pytest.mark.parametrize(("page", "command"), commands())
def test_commands_use_verbs_and_options_that_exist(page: str, command: str) -> None:
    words = shlex.split(command)
    assert words[1] in VERBS, page
    help_page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    section = help_page.split(f"## geomeld {words[1]}\n")[1].split("\n## ")[0]
    for option in (w for w in words if w.startswith("--")):
        assert option in section or option == "--help", f"{page}: {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_python_blocks_compile(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_public_names_import() -> None:
    import geomeld
    from geomeld.modalities import MODALITIES
    from geomeld.signals.terrain import geomorphons

    assert callable(geomeld.open_dataset)
    assert callable(geomeld.load_model)
    assert callable(geomorphons)
    assert len(MODALITIES) >= 7
