"""Apache Kafka's jars: pinned coordinates with their SHA-256 in kafka-jars.tsv, fetched once into a user cache.

A jar enters the cache only when its sum is right, by a rename: an interrupted or a second download harms nothing.
"""

import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bridge.devstack.java import EmbeddedExtraMissing
from bridge.errors import LanebridgeError

logger = logging.getLogger(__name__)

#: names another Maven repository (a company's mirror); unset: Maven Central
REPOSITORY_VARIABLE = "LANEBRIDGE_MAVEN_REPOSITORY"
_THREADS = 8
_TRIES = 3


class JarsUnavailable(LanebridgeError):
    """The jars of Apache Kafka could not be downloaded."""


class JarMismatch(LanebridgeError):
    """A downloaded jar is not the one that was pinned."""


@dataclass(frozen=True, slots=True)
class Jar:
    """A pinned artifact of Maven Central."""

    group: str
    artifact: str
    version: str
    needed_by: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The jar's name, here and in any Maven repository."""
        return f"{self.artifact}-{self.version}.jar"


def broker_classpath() -> str:
    """What a broker needs, fetched if it must be. Raises JarsUnavailable, JarMismatch, EmbeddedExtraMissing."""
    return _classpath(jar for jar in pinned_jars() if jar.needed_by == "broker")


def tools_classpath() -> str:
    """What the stock command-line tools (`org.apache.kafka.tools.*`) need. Raises as broker_classpath."""
    return _classpath(pinned_jars())


def cache_directory() -> Path:
    """Where the jars are kept: the user's cache, shared by all projects."""
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "lanebridge" / "jars"
    caches = "Library/Caches" if sys.platform == "darwin" else ".cache"
    return Path.home() / caches / "lanebridge" / "jars"


@cache
def pinned_jars() -> tuple[Jar, ...]:
    """All of kafka-jars.tsv."""
    text = resources.files(__package__).joinpath("kafka-jars.tsv").read_text()
    return tuple(Jar(*line.split("\t")) for line in text.splitlines() if not line.startswith("#"))


def _classpath(jars: Iterable[Jar]) -> str:
    wanted = tuple(jars)
    cached = cache_directory()
    missing = [jar for jar in wanted if not _is_cached(jar, cached)]
    if missing:
        _fetch(missing, cached)
    return os.pathsep.join(str(cached / jar.file_name) for jar in wanted)


def _is_cached(jar: Jar, directory: Path) -> bool:
    path = directory / jar.file_name
    if not path.exists():
        return False
    if _sha256(path) == jar.sha256:
        return True
    logger.warning("%s is damaged, fetching it again", path, extra={"action": "jar_damaged"})
    return False


def _fetch(jars: Sequence[Jar], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        tempfile.TemporaryDirectory(prefix="download-", dir=directory) as scratch,
        Progress(*columns, console=Console(stderr=True)) as progress,
        ThreadPoolExecutor(_THREADS) as pool,
    ):
        bar = progress.add_task("Fetching Apache Kafka (once)", total=len(jars))
        try:
            for done in as_completed([pool.submit(_fetch_one, jar, Path(scratch), directory) for jar in jars]):
                done.result()
                progress.advance(bar)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _fetch_one(jar: Jar, scratch: Path, directory: Path) -> None:
    """Download, verify, and only then move into the cache."""
    path = _download(jar, scratch)
    found = _sha256(path)
    if found != jar.sha256:
        raise JarMismatch(
            f"{jar.file_name}: the download has the SHA-256 {found}, pinned is {jar.sha256}. Nothing was kept. "
            f"Remedy: try again; if it stays so, the repository ({_repository()}) serves something else."
        )
    os.replace(path, directory / jar.file_name)


def _download(jar: Jar, scratch: Path) -> Path:
    try:
        from jgo.maven import MavenContext
    except ImportError:
        raise EmbeddedExtraMissing from None
    mirror = os.environ.get(REPOSITORY_VARIABLE)
    context = MavenContext(repo_cache=scratch, remote_repos={"mirror": mirror} if mirror else None)
    component = context.project(jar.group, jar.artifact).at_version(jar.version)
    problem: Exception | None = None
    for _ in range(_TRIES):
        try:
            return Path(component.artifact().resolve())
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors; jgo's "not found" is a RuntimeError
            problem = error
    raise JarsUnavailable(
        f"Could not fetch {jar.group}:{jar.artifact}:{jar.version} from {_repository()} "
        f"after {_TRIES} tries: {problem}. "
        f"Remedy: the first start needs the network once (the jars are then kept in {cache_directory()}); "
        f"behind a mirror set {REPOSITORY_VARIABLE}; or use `docker compose up`."
    ) from problem


def _repository() -> str:
    return os.environ.get(REPOSITORY_VARIABLE, "Maven Central")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
