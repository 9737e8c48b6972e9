"""Breaks the kernels, or the emulation, one change at a time, and expects the tests to notice. Called by
Scripts/test-kernels mutants.

CKernels/tests/mutants holds one mutant a paragraph:

    what is wrong
    file attention/prefill.h
    test prefill
    by race
    - the text to replace, which stands in the file exactly once
    + what it becomes

`test` is a part of the names of the tests to run. `by` is a part of what they must print; without it anything that fails
will do. `survives` in its place marks an equivalent program, which must pass. Lines of `-` and of `+` are joined.

A mutant is compiled over the objects that Scripts/test-kernels left, and tried in the flavours check, plain and asan
until one notices it; a header's first in one kind of element of the kernels under test, as they need not all be wrong for
that. It costs a few seconds. Before the first one, every entry of the list must match its file;
`--check` does nothing else, and Scripts/test-kernels always does that.

Entries that went as the list says are written down beside the objects, under a digest of themselves and of all that the
tests are made of: with `--resume` they are not tried again until one of the two changes.
"""

import concurrent.futures
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ROOT / "CKernels"
OBJECTS = ROOT / ".build" / "kernels"
FLAVOURS = ("check", "plain", "asan")
TIME_LIMIT = 120


class Mutant:
    def __init__(self, paragraph):
        self.paragraph = paragraph
        lines = paragraph.split("\n")
        self.name = lines[0]
        self.file = self.test = self.by = None
        self.survives = False
        old, new = [], []
        for line in lines[1:]:
            keyword, _, rest = line.partition(" ")
            if keyword == "-":
                old.append(rest)
            elif keyword == "+":
                new.append(rest)
            elif keyword in ("file", "test", "by"):
                setattr(self, keyword, rest)
            elif keyword == "survives":
                self.survives = True
            else:
                raise SystemExit(f"mutants: '{self.name}': unknown line '{line}'")
        self.old, self.new = "\n".join(old), "\n".join(new)

    def problem(self):
        """What keeps the entry from being tried, or None."""
        if not self.file or not self.test or not self.old:
            return "it needs lines of file, test and -"
        if self.old == self.new:
            return "it changes nothing"
        if not (SOURCES / self.file).is_file():
            return f"there is no {self.file}"
        count = (SOURCES / self.file).read_text().count(self.old)
        return None if count == 1 else f"its text is in {self.file} {count} times"

    def mutated_source(self):
        return (SOURCES / self.file).read_text().replace(self.old, self.new)


def shell(function, *arguments):
    """Calls a function of Scripts/lib/kernels.sh."""
    script = f'source Scripts/lib/kernels.sh; {function} "$@"'
    return subprocess.run(["bash", "-c", script, "bash", *map(str, arguments)], cwd=ROOT, text=True,
                          errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIME_LIMIT)


def first_ones(mutant, paths):
    """Of the sources that depend on a mutated file those that most likely are enough to notice it."""
    some = [path for path in paths if path.endswith("_bf16.cu") and "_codes_" not in path]
    word = mutant.test.split()[0].rstrip(":")
    named = [path for path in paths if word in path]
    return [path for path in some if path in named] or named or some or paths


def dependents(mutant, flavour):
    """Every source as (kind, path, its object, whether the mutant changes it). Hosts that pass headers on to tests see
    the kernel's own text only in kernel files."""
    for entry in shell("kernel_sources", SOURCES).stdout.splitlines():
        kind, path = entry.split(" ", 1)
        original = OBJECTS / flavour / (path.rsplit(".", 1)[0].replace("/", "-") + ".o")
        inputs = original.with_suffix(".d").read_text().replace("\\\n", " ").split() if kind != "test" else ()
        yield kind, path, original, str(SOURCES / mutant.file) in inputs


def build(mutant, flavour, everywhere, folder):
    """Compiles what depends on the mutated file into `folder` and links it with the other objects.

    Without `everywhere`, some of what depends on it; False when that is all of it, and nothing is done."""
    sources = list(dependents(mutant, flavour))
    changing = [path for _, path, _, changes in sources if changes]
    if not everywhere:
        some = first_ones(mutant, changing)
        if len(some) == len(changing):
            return False
        changing = some
    overlay = folder / "sources"
    target = overlay / mutant.file
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(mutant.mutated_source())
    flags = {kind: shell("kernel_flags", flavour, kind).stdout.split() for kind in ("kernel", "runtime")}
    compiler = os.environ.get("CXX", "g++")
    objects = []
    for kind, path, original, _ in sources:
        if path not in changing:
            objects.append(str(original))
            continue
        changed = folder / original.name
        source = target if path == mutant.file else SOURCES / path
        command = [compiler, *flags[kind], f"-I{overlay}", f"-I{SOURCES}", "-c", "-x", "c++", str(source), "-o", str(changed)]
        done = subprocess.run(command, text=True, capture_output=True, timeout=TIME_LIMIT)
        if done.returncode != 0:
            raise ValueError("it does not compile: " + done.stderr.strip().split("\n")[0])
        objects.append(str(changed))
    link = [compiler, *objects, "-pthread", "-ldl", "-o", str(folder / "tests")]
    if flavour == "asan":
        link.insert(1, "-fsanitize=address,undefined")
    subprocess.run(link, check=True, capture_output=True, timeout=TIME_LIMIT)
    return True


def attempt(mutant, flavour, everywhere):
    """What the tests print when they notice, or None."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        if not build(mutant, flavour, everywhere, folder):
            return None
        try:
            done = shell("run_kernel_tests", flavour, folder, mutant.test, "--quick")
        except subprocess.TimeoutExpired:
            return "no end in sight"
        if " 0 failed" in done.stdout:
            return None
        return done.stdout


def judge(mutant):
    """(whether it went as the list says, a line about it)"""
    try:
        ways = [(flavour, True) for flavour in FLAVOURS]
        if not mutant.survives:
            ways.insert(0, (FLAVOURS[0], False))
        for flavour, everywhere in ways:
            printed = attempt(mutant, flavour, everywhere)
            if printed is None or (not everywhere and mutant.by and mutant.by not in printed):
                continue
            lines = [line.strip() for line in printed.strip().split("\n")]
            shown = next((line for line in lines if not mutant.by or mutant.by in line), lines[0])[:220]
            if mutant.survives:
                return False, f"a right program was refused by {flavour}: {shown}"
            if mutant.by and mutant.by not in printed:
                return False, f"noticed by {flavour}, but not by '{mutant.by}': {shown}"
            return True, f"{flavour}: {shown}"
    except ValueError as error:
        return False, f"broken entry: {error}"
    except subprocess.TimeoutExpired:
        return False, f"not built within {TIME_LIMIT} s"
    return mutant.survives, "survives, as it should" if mutant.survives else "SURVIVED"


def read_mutants():
    """All of the list, or an exit with every entry that is not right."""
    paragraphs = (SOURCES / "tests" / "mutants").read_text().strip().split("\n\n")
    mutants = [Mutant(p) for p in paragraphs if not p.startswith("#")]
    names, errors = set(), []
    for mutant in mutants:
        problem = mutant.problem()
        if mutant.name in names:
            problem = "there is another of this name"
        names.add(mutant.name)
        if problem:
            errors.append(f"error: CKernels/tests/mutants: '{mutant.name}': {problem}")
    if errors:
        sys.exit("\n".join(errors))
    return mutants


class Journal:
    """What went as the list says, a digest a line."""

    def __init__(self, resume):
        self.path = OBJECTS / "judged"
        sources = hashlib.sha256()
        for path in sorted(SOURCES.rglob("*")):
            if path.suffix in (".cu", ".cpp", ".h"):
                sources.update(f"{path.relative_to(SOURCES)}\n{path.read_text()}".encode())
        self.sources = sources.hexdigest()
        known = self.path.read_text().splitlines() if resume and self.path.is_file() else []
        self.known = set(known)

    def digest(self, mutant):
        return hashlib.sha256((self.sources + mutant.paragraph).encode()).hexdigest()

    def judge(self, mutant):
        if self.digest(mutant) in self.known:
            return True, "as it should, in an earlier run"
        return judge(mutant)

    def note(self, mutant):
        if self.digest(mutant) not in self.known:
            with self.path.open("a") as file:
                file.write(self.digest(mutant) + "\n")


def main():
    mutants = read_mutants()
    arguments = sys.argv[1:]
    if arguments == ["--check"]:
        return
    journal = Journal(resume="--resume" in arguments)
    only = next((word for word in arguments if word != "--resume"), "")
    mutants = [m for m in mutants if only in m.name or only in m.file]
    good = 0
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", "2"))) as pool:
        for mutant, (fine, line) in zip(mutants, pool.map(journal.judge, mutants)):
            good += fine
            if fine:
                journal.note(mutant)
            print(f"{'ok    ' if fine else 'FAILED'} {mutant.name}\n         {line}", file=sys.stderr, flush=True)
    print(f"{good} passed, {len(mutants) - good} failed")
    sys.exit(0 if good == len(mutants) and mutants else 1)


if __name__ == "__main__":
    main()
