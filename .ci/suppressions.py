"""Counts what silences a tool or a test, and fails where one gives no reason on its own line.

`type: ignore[x]  # reason`, `noqa: X - reason`, `pragma: no cover - reason`, `from typing import Any  # reason`, and a
skip or an expected failure whose call says why.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
REASON = r".*[^\W\d_]{3,}"
"""A word at least ("JSON")."""
IN_COMMENTS = {
    "type: ignore": re.compile(r"#\s*type:\s*ignore(\[[\w, -]+\])?(?P<reason>.*)"),
    "noqa": re.compile(r"#\s*noqa\b(:\s*[A-Z]+\d+(,\s*[A-Z]+\d+)*)?(?P<reason>.*)"),
    "no cover": re.compile(r"#\s*pragma:\s*no cover(?P<reason>.*)"),
}
SKIPS = re.compile(r"pytest\.(skip|importorskip|xfail|mark\.(skip|skipif|xfail))\b")
IMPORTS_ANY = re.compile(r"^\s*from typing import .*?\bAny\b(?P<rest>.*)")


class Suppression(NamedTuple):
    """One of them."""

    kind: str
    place: str
    reasoned: bool


def of_file(path: Path) -> Iterator[Suppression]:
    """All in one file."""
    text = path.read_text()
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        place = f"{path.relative_to(ROOT)}:{token.start[0]}"
        line = lines[token.start[0] - 1] if token.start[0] <= len(lines) else ""
        if token.type == tokenize.COMMENT:
            for kind, pattern in IN_COMMENTS.items():
                if found := pattern.search(token.string):
                    yield Suppression(kind, place, bool(re.match(REASON, found["reason"])))
        elif token.type == tokenize.NAME and token.string in ("skip", "skipif", "xfail", "importorskip"):
            if found := SKIPS.search(line):
                yield Suppression(
                    found[1].split(".")[-1], place, bool(re.search(r"reason=f?\"|skip\(f?\"|# \w+ \w+", line))
                )
        elif token.type == tokenize.NAME and token.string == "Any" and (imported := IMPORTS_ANY.match(line)):
            yield Suppression("Any", place, bool(re.match(rf"[^#]*#{REASON}", imported["rest"])))


def main() -> int:
    """Prints the counts; 1 where one has no reason."""
    named = subprocess.run(
        ["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    all_of_them = [one for name in named if (ROOT / name).exists() for one in of_file(ROOT / name)]
    counts = Counter(one.kind for one in all_of_them)
    sys.stdout.write(f"suppressions: {', '.join(f'{n} {kind}' for kind, n in counts.most_common()) or 'none'}\n")
    bare = [one for one in all_of_them if not one.reasoned]
    sys.stdout.write("".join(f"{one.place}: {one.kind} without a reason on its line\n" for one in bare))
    return 1 if bare else 0


if __name__ == "__main__":
    sys.exit(main())
