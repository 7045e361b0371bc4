"""The wheel, as somebody installs it who has no clone: not editable, no extras, an app that lives elsewhere."""

import importlib.util
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.world import ROOT, World, await_line, write_files

_HAS_PIP = importlib.util.find_spec("pip") is not None

APP = {
    "myapp/__init__.py": "",
    "myapp/celery.py": """
        import os

        from bridge import Batch, BatchTask, Bridge, Record, RecordTask
        from celery import Celery

        app = Celery("myapp", broker=os.environ["CELERY_BROKER_URL"])
        bridge = Bridge(app, group_id="elsewhere")


        @app.task(base=RecordTask)
        def parse(record: Record) -> int:
            return int(record.value)


        @app.task(base=BatchTask)
        def store(batch: Batch) -> None:
            with open("stored", "a") as file:
                file.writelines(f"{record.data}\\n" for record in batch)


        bridge.pipeline(os.environ["TEST_TOPIC"], chain=parse.s() | store.s(), batch_size=10, batch_timeout=0.2)
        """,
}


@dataclass(frozen=True)
class Environment:
    """A virtual environment. This Python's pip fills it, its own one when there is none (an environment of uv's)."""

    directory: Path

    def create(self) -> None:
        """Empty, but for a pip if that is needed."""
        _run(sys.executable, "-m", "venv", *(("--without-pip",) if _HAS_PIP else ()), str(self.directory))

    def pip(self, *arguments: str) -> None:
        """Run pip for this environment."""
        python = str(self.scripts / "python")
        pip = (sys.executable, "-m", "pip", "--python", python) if _HAS_PIP else (python, "-m", "pip")
        _run(*pip, *arguments)

    @property
    def scripts(self) -> Path:
        """Its programs."""
        return self.directory / "bin"

    def variables(self, *others: str) -> dict[str, str]:
        """Its programs alone on PATH, and those of `others`; what is imported is compiled once."""
        return {"PATH": os.pathsep.join([str(self.scripts), *others]), "PYTHONDONTWRITEBYTECODE": ""}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> tuple[Environment, Path]:
    """An empty environment, and the wheel, built from the repository."""
    environment, directory = Environment(tmp_path_factory.mktemp("environment")), tmp_path_factory.mktemp("wheel")
    environment.create()
    environment.pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(directory), str(ROOT))
    (found,) = directory.glob("*.whl")
    return environment, found


@pytest.fixture(scope="module")
def installed(wheel: tuple[Environment, Path]) -> Environment:
    """The environment with the wheel and what it depends on."""
    environment, built = wheel
    environment.pip("install", "--quiet", "--no-compile", str(built))
    return environment


def _run(*command: str) -> None:
    answer = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_the_wheel_holds_the_package_with_its_data_and_nothing_beside_it(wheel: tuple[Environment, Path]) -> None:
    with zipfile.ZipFile(wheel[1]) as archive:
        names = set(archive.namelist())
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "bridge").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if ".dist-info/" not in name} == package
    assert "bridge/py.typed" in names
    assert "bridge/devstack/kafka-jars.tsv" in names
    assert {name for name in names if name.endswith(".lua")} == {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "bridge/ledger/scripts").iterdir()
    }


def test_an_app_that_lives_elsewhere_runs_until_idle_with_nothing_but_the_wheel(
    installed: Environment, world: World, make_topic: Callable[..., str]
) -> None:
    topic = make_topic(f"{world.group}-numbers", 2)
    world.produce(topic, (b"%d" % number for number in range(40)), partitions=2)
    elsewhere = write_files(world.directory / "elsewhere", APP)
    env = {"TEST_TOPIC": topic, **installed.variables("/usr/bin", "/bin")}
    worker = world.start("worker", "celery", "-A", "myapp", "bridge", "worker", "-l", "INFO", cwd=elsewhere, **env)
    await_line(worker, "serves lanes")

    bridge = world.run("bridge", "lanebridge", "-A", "myapp", "run", "--until-idle", cwd=elsewhere, **env)

    assert bridge.exit_code == 0, bridge.tail()
    assert world.committed(topic, 2) == world.ends(topic, 2) == [20, 20]
    stored = [int(line) for line in (elsewhere / "stored").read_text().splitlines()]
    assert [number for number in stored if number % 2 == 0] == list(range(0, 40, 2))
    assert [number for number in stored if number % 2 == 1] == list(range(1, 40, 2))
    assert _origin(installed, elsewhere).is_relative_to(installed.directory)


def _origin(installed: Environment, elsewhere: Path) -> Path:
    """Where the package that ran is."""
    command = [str(installed.scripts / "python"), "-c", "import bridge; print(bridge.__file__)"]
    return Path(subprocess.run(command, cwd=elsewhere, capture_output=True, text=True, check=True).stdout.strip())


def test_the_demo_says_that_it_needs_a_clone(installed: Environment, world: World) -> None:
    demo = world.run("demo", "lanebridge", "demo", cwd=world.directory, **installed.variables())
    assert demo.exit_code == 1
    (line,) = demo.log.read_text().splitlines()
    assert "Remedy: run it in a clone of the repository (./run demo)" in line


def test_the_demo_in_a_clone_says_that_it_needs_the_extra(installed: Environment, world: World) -> None:
    demo = world.run("demo", "lanebridge", "demo", cwd=ROOT, **installed.variables())
    assert demo.exit_code == 1
    assert "pip install '.[embedded]'" in demo.log.read_text().splitlines()[-1]
    assert "Traceback" not in demo.log.read_text()
