"""How `make` finds Python and makes the environment, with pretended Pythons: no network, and no second environment."""

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A Python that answers the Makefile's question, makes an "environment" holding itself, and writes down what it ran.
PRETENDED = """\
#!/bin/sh
echo "$0 $*" >> {calls}
case "$1 $2" in
  "-c "*) exit {version_check} ;;
  "-m venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python && rm -f .venv/.complete ;;
  "-m pip") if [ -e {broken} ]; then echo "pip says: no such package"; exit 1; fi ;;
esac
"""
SHIM = '#!/bin/sh\necho "pyenv: python3.13: command not found" >&2\nexit 127\n'


@dataclass
class Machine:
    """A home, a PATH with little on it, and a fresh clone of the repository."""

    folder: Path
    clone_name: str = "clone"

    @property
    def clone(self) -> Path:
        return self.folder / self.clone_name

    @property
    def pyenv(self) -> Path:
        return self.folder / "home" / ".pyenv/versions/3.13.7/bin/python3.13"

    def put(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def python(self, path: Path, *, right_version: bool = True) -> None:
        check = 0 if right_version else 1
        self.put(path, PRETENDED.format(calls=self.folder / "calls", broken=self.broken, version_check=check))

    @property
    def broken(self) -> Path:
        return self.folder / "broken"

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # SYSTEM: what lies in /usr/local or /opt of the machine that runs this test is none of the test's business.
        variables = {"PATH": str(self.folder / "bin"), "HOME": str(self.folder / "home")}
        command = ["make", "SYSTEM=", *arguments]
        make = shutil.which("make")
        return subprocess.run(
            command, executable=make, cwd=self.clone, env=variables, capture_output=True, text=True, check=False
        )

    def calls(self, part: str) -> list[str]:
        path = self.folder / "calls"
        return [line for line in path.read_text().splitlines() if part in line] if path.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    for folder in (tmp_path / "bin", tmp_path / "home", machine.clone):
        folder.mkdir()
    for tool in ("sh", "awk", "cat", "cmp", "mkdir", "cp", "rm"):
        found = shutil.which(tool)
        assert found is not None
        (tmp_path / "bin" / tool).symlink_to(found)
    for name in ("Makefile", "requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, machine.clone)
    return machine


def test_a_python_on_the_path_that_cannot_run_is_passed_over(machine: Machine) -> None:
    machine.put(machine.folder / "bin" / "python3.13", SHIM)
    machine.python(machine.folder / "bin" / "python3", right_version=False)
    machine.python(machine.pyenv)
    done = machine.make("environment")
    assert done.returncode == 0, done.stderr
    assert "command not found" not in done.stdout + done.stderr
    assert machine.calls("-m venv") == [f"{machine.pyenv} -m venv --clear .venv"]


def test_the_python_that_the_user_names_comes_first(machine: Machine) -> None:
    named = machine.folder / "mine" / "python"
    machine.python(named)
    machine.python(machine.folder / "bin" / "python3.13")
    assert machine.make("environment", f"PYTHON={named}").returncode == 0
    assert machine.calls("-m venv") == [f"{named} -m venv --clear .venv"]


def test_without_python_3_13_one_line_says_what_to_do(machine: Machine) -> None:
    machine.python(machine.folder / "bin" / "python3", right_version=False)
    done = machine.make("environment")
    said = [line for line in done.stderr.splitlines() if not line.startswith("make: ***")]
    assert done.returncode != 0
    assert len(said) == 1
    assert "Python 3.13" in said[0]
    assert "PYTHON=" in said[0]
    assert done.stdout == ""
    assert not (machine.clone / ".venv").exists()


def test_the_packages_are_installed_once_with_hashes_and_without_a_wall_of_text(machine: Machine) -> None:
    machine.python(machine.pyenv)
    first, second = machine.make("environment"), machine.make("environment")
    assert len(first.stdout.splitlines()) == 1
    assert second.stdout == second.stderr == ""
    (install,) = machine.calls("-m pip")
    assert "--require-hashes -r requirements.txt -r requirements-dev.txt" in install
    assert len(machine.calls("-m sandbox.azurite")) == 1


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_changed_requirements_make_the_environment_anew_but_a_new_date_does_not(machine: Machine, name: str) -> None:
    machine.python(machine.pyenv)
    machine.make("environment")
    os.utime(machine.clone / name)
    machine.make("environment")
    assert len(machine.calls("-m venv")) == 1
    with (machine.clone / name).open("a") as file:
        file.write("# another\n")
    machine.make("environment")
    assert len(machine.calls("-m venv")) == 2


def test_a_failed_installation_shows_why_and_is_repaired_the_next_time(machine: Machine) -> None:
    machine.python(machine.pyenv)
    machine.broken.touch()
    failed = machine.make("environment")
    assert failed.returncode != 0
    assert "pip says: no such package" in failed.stderr
    machine.broken.unlink()
    assert machine.make("environment").returncode == 0
    assert len(machine.calls("-m venv")) == 2
    assert machine.make("environment").stdout == ""


def test_a_repository_that_was_moved_gets_a_new_environment(machine: Machine) -> None:
    """The scripts in an environment hold its path."""
    machine.python(machine.pyenv)
    machine.make("environment")
    machine.clone.rename(machine.folder / "moved")
    machine.clone_name = "moved"
    machine.make("environment")
    assert len(machine.calls("-m venv")) == 2


def test_make_alone_lists_the_targets(machine: Machine) -> None:
    done = machine.make()
    named = {line.split()[1] for line in done.stdout.splitlines()}
    assert {"run", "up", "test", "check", "static", "bench", "lock", "clean", "help"} <= named
    assert all(len(line.split()) > 3 for line in done.stdout.splitlines())


def test_the_lock_of_azurite_pins_contents_and_names_no_registry() -> None:
    folder = ROOT / "sandbox" / "azurite"
    text = (folder / "package-lock.json").read_text()
    lock = json.loads(text)
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert (
        packages["node_modules/azurite"]["version"]
        == json.loads((folder / "package.json").read_text())["dependencies"]["azurite"]
    )
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert '"resolved"' not in text
    assert re.findall(r'"https?://(?!geraintluff\.github\.io/tv4/LICENSE)[^"]*"', text) == []  # a licence, by address
