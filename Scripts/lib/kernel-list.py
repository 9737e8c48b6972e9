"""Keeps the list of kernel sources in Package.swift equal to the folder; SwiftPM passes over what is not named.

    python3 Scripts/lib/kernel-list.py          rewrites the list
    python3 Scripts/lib/kernel-list.py --check  says what is missing or too many, and fails
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "Package.swift"


def sources():
    """What the emulated build compiles: not the tests, nvcc's own part, or the hooks of the checker's flavour."""
    folder = ROOT / "CKernels"
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.suffix not in (".cu", ".cpp") or name.startswith(("tests/", "cuda/")):
            continue
        if name != "simt/checker/hooks.cpp":
            yield name


def main():
    text = MANIFEST.read_text()
    found = re.search(r"(let kernelSources = \[\n)(.*?)(\]\n)", text, re.S)
    wanted = "".join(f'  "{name}",\n' for name in sources())
    if found.group(2) == wanted:
        return 0
    if "--check" in sys.argv[1:]:
        for name in sorted(set(wanted.split()) ^ set(found.group(2).split())):
            print(f"error: Package.swift and CKernels disagree about {name.strip(',')}", file=sys.stderr)
        print("error: run python3 Scripts/lib/kernel-list.py", file=sys.stderr)
        return 1
    MANIFEST.write_text(text[: found.start(2)] + wanted + text[found.end(2) :])
    return 0


sys.exit(main())
