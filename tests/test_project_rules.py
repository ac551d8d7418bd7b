"""Rules of the project: imports, names, docstrings, sizes, and the interface that scripts rely on."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TARGETS = ("env", "run", "test", "lint", "bench", "corpus", "torture", "screenshots", "docs", "help")


def test_imports_follow_the_layers():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_make_has_its_targets_and_help_describes_them(target):
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{target}:.*## \S", makefile, re.MULTILINE)


def test_dependencies_are_pinned_with_hashes_and_name_no_host():
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text()
        pins = re.findall(r"^[\w.-]+(?:\[[\w,]+\])?==\S+.*\\$", text, re.MULTILINE)
        assert len(pins) > 20
        assert text.count("--hash=sha256:") >= len(pins)
        assert "://" not in text


def test_every_text_is_translated_and_compiled():
    done = subprocess.run([sys.executable, "locale/messages.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.django_db
def test_migrations_are_in_step_with_the_models():
    from django.core.management import call_command

    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


TOP_LEVEL = {
    *("manage.py", "pyproject.toml", "webmail", "mailadmin", "mailcore", "templates", "static", "locale", "tests"),
    *("bench", "docs", "Makefile", "youju", "requirements.lock", "requirements-dev.lock"),
    *("README.md", "README.zh-CN.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE"),
}


def test_the_top_level_holds_only_known_entries():
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().split()}
    entries = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert entries - ignored - TOP_LEVEL == set()


def sources(*folders: str) -> list[Path]:
    """Return the Python files below `folders`, without migrations."""
    return sorted(path for each in folders for path in (ROOT / each).rglob("*.py") if "migrations" not in path.parts)


def docstrings(path: Path) -> list[str]:
    """Return every docstring in a file."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [text for node in nodes if isinstance(node, documented) and (text := ast.get_docstring(node))]


def test_docstrings_do_not_open_with_a_relative_clause():
    opening = re.compile(r"(?:Who|Whose|Whom|What|Whether|Where|Whatever|Whoever)\b")
    found = [
        f"{path.relative_to(ROOT)}: {text.splitlines()[0]}"
        for path in sources("mailcore", "webmail", "mailadmin", "tests", "bench", "locale")
        for text in docstrings(path)
        if opening.match(text)
    ]
    assert found == []


def test_files_have_at_most_500_lines():
    counts = {path: len(path.read_text().splitlines()) for path in sources("mailcore", "webmail", "mailadmin")}
    assert [(str(path), lines) for path, lines in counts.items() if lines > 500] == []


def test_folders_have_at_most_15_modules():
    counts: dict[str, int] = {}
    for path in sources("mailcore", "webmail", "mailadmin"):
        if path.name != "__init__.py" and path.parent.name != "commands":  # Django wants one file for each command
            counts[str(path.parent)] = counts.get(str(path.parent), 0) + 1
    assert {folder: count for folder, count in counts.items() if count > 15} == {}
