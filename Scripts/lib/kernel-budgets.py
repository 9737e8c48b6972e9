"""Holds kernels to CKernels/budgets.

    kernel-budgets.py [--update] [--verbose] <OBJECTS      what nvcc made; called by Scripts/build-cuda
    kernel-budgets.py --launches FILE BINARY [--update]    how the tests launched them; called by Scripts/test-kernels

Lines of the budgets file, # for a comment:

    expect NAME INSTRUCTION...      kernels whose name matches have each of these, on every architecture
    expect NAME@sm_90a INSTRUCTION...                                            on one architecture
    never NAME INSTRUCTION...       they have none of these
    limit NAME[@ARCHITECTURE] N     the registers that they may take where no line of their own says
    NAME SM_80 SM_89 SM_90A THREADS SHARED
                                    the registers a kernel may take on each architecture, - where it does not exist;
                                    the threads of a block that it is compiled for; and the most bytes of dynamic shared
                                    memory that the tests launch it with

NAME after expect, never and limit is a regular expression of a kernel's name; an instruction is the beginning of one, as
cuobjdump prints it. --update rewrites the kernels' lines: registers and threads from objects, shared memory from launches.
"""

import pathlib
import re
import subprocess
import sys

BUDGETS = pathlib.Path(__file__).resolve().parents[2] / "CKernels" / "budgets"
ARCHITECTURES = ("sm_80", "sm_89", "sm_90a")
COLUMNS = (*ARCHITECTURES, "threads", "shared")
# What a block may have on sm_89, and on sm_90 (CUDA programming guide, technical specifications).
SHARED_LIMIT, SHARED_LIMIT_SM90 = 99 * 1024, 227 * 1024
REGISTER_FILE = 65536


def demangle(names):
    """Template arguments stay, parameters and namespaces go: prefill_kernel<bf16,128>."""
    done = subprocess.run(["c++filt"], input="\n".join(names), text=True, capture_output=True, check=True).stdout
    result = {}
    for name, plain in zip(names, done.split("\n")):
        plain = re.sub(r"\(anonymous namespace\)::|gpu::|^void |\(int\)|\(bool\)", "", plain)
        plain = re.sub(r"\((?:[^()]|\([^()]*\))*\)$", "", plain)
        result[name] = re.sub(r"\s+", "", plain.replace("true", "1").replace("false", "0"))
    return result


def has_budget(name):
    """The tests' own kernels and the probes of primitives have none."""
    return not name.startswith(("test::", "conformance::"))


class Kernel:
    def __init__(self):
        self.registers = self.stack = self.spills = self.threads = 0
        self.instructions = {}


def read_objects(objects):
    """{(name, architecture): Kernel}"""
    kernels = {}
    for path in objects:
        key = None
        for line in pathlib.Path(path + ".log").read_text().split("\n"):
            if match := re.search(r"Compiling entry function '(\w+)' for '(\w+)'", line):
                key = match[1], match[2]
                kernels[key] = Kernel()
            elif key and (match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+)", line)):
                # Functions that kernels call have lines of their own, which add up.
                kernels[key].stack += int(match[1])
                kernels[key].spills += int(match[2]) + int(match[3])
            elif key and (match := re.search(r"Used (\d+) registers", line)):
                kernels[key].registers = int(match[1])
        for line in pathlib.Path(path + ".sass").read_text().splitlines():
            words = line.split()
            key = words[2], words[1]
            if key not in kernels:
                continue
            if words[0] == "threads":
                kernels[key].threads = int(words[3], 16)
            else:
                kernels[key].instructions[words[3]] = int(words[4])
    names = demangle(sorted({name for name, _ in kernels}))
    return {(names[n], a): k for (n, a), k in kernels.items() if has_budget(names[n])}


def read_launches(path, binary):
    """{name: (most threads, most shared memory)} of a log with lines of address, threads, shared bytes."""
    symbols = {}
    for line in subprocess.run(["nm", binary], text=True, capture_output=True, check=True).stdout.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in "tTwWvV":
            symbols.setdefault(int(words[0], 16), []).append(words[2])
    launches = [tuple(int(word, 0) for word in line.split()) for line in pathlib.Path(path).read_text().splitlines()]
    names = demangle(sorted({name for address, _, _ in launches for name in symbols.get(address, ["unknown"])}))
    most = {}
    for address, threads, shared in launches:
        for symbol in symbols.get(address, ["unknown"]):
            name = names[symbol]
            if has_budget(name):
                known = most.get(name, (0, 0))
                most[name] = max(known[0], threads), max(known[1], shared)
    return most


class Budgets:
    def __init__(self):
        self.rules, self.kernels, text = [], {}, []
        for line in BUDGETS.read_text().split("\n"):
            words = line.split()
            if words and words[0] in ("expect", "never", "limit"):
                pattern, _, architecture = words[1].partition("@")
                self.rules.append((words[0], re.compile(pattern + r"\Z"), architecture, words[2:]))
            elif words and not line.startswith("#"):
                self.kernels[words[0]] = dict(zip(COLUMNS, words[1:]))
                continue
            text.append(line)
        self.text = "\n".join(text).rstrip() + "\n"

    def get(self, name, column):
        return self.kernels.get(name, {}).get(column, "-")

    def set(self, name, column, value):
        self.kernels.setdefault(name, {})[column] = str(value)

    def write(self):
        width = max(map(len, self.kernels), default=0)
        lines = [
            f"{name:{width}} " + " ".join(f"{row.get(column, '-'):>4}" for column in ARCHITECTURES)
            + f" {row.get('threads', '-'):>5} {row.get('shared', '-'):>7}"
            for name, row in sorted(self.kernels.items())
        ]
        BUDGETS.write_text(self.text + "\n" + "\n".join(lines) + "\n")


def check_objects(budgets, kernels, update):
    errors, used = [], set()
    for (name, architecture), kernel in sorted(kernels.items()):
        where = f"{name} for {architecture}"
        if "--verbose" in sys.argv:
            print(f"{kernel.registers:4} registers  {where}")
        if kernel.stack or kernel.spills:
            errors.append(f"{where}: {kernel.stack} bytes of stack, {kernel.spills} of spills")
        if not kernel.instructions:
            errors.append(f"{where}: no instructions were found in its object")
        if not kernel.threads:
            errors.append(f"{where}: no number of threads was found in its object")
        limit = "-"
        for index, (kind, pattern, only, instructions) in enumerate(budgets.rules):
            if not pattern.match(name) or only not in ("", architecture):
                continue
            used.add(index)
            if kind == "limit":
                limit = instructions[0]
                continue
            for wanted in instructions:
                found = any(instruction.startswith(wanted) for instruction in kernel.instructions)
                if found != (kind == "expect"):
                    errors.append(f"{where}: {'has' if found else 'lacks'} {wanted}")
        if update:
            budgets.set(name, architecture, kernel.registers)
            budgets.set(name, "threads", kernel.threads)
            continue
        allowed = budgets.get(name, architecture)
        if allowed == "-":
            allowed = limit
        if allowed == "-":
            errors.append(f"{where}: CKernels/budgets does not list it; Scripts/build-cuda --update adds it")
        elif kernel.registers > int(allowed):
            errors.append(f"{where}: {kernel.registers} registers, and its budget is {allowed}")
        threads = budgets.get(name, "threads")
        if threads != "-" and kernel.threads != int(threads):
            errors.append(f"{where}: compiled for {kernel.threads} threads, and its budget is {threads}")
        if kernel.registers * kernel.threads > REGISTER_FILE:
            errors.append(f"{where}: {kernel.threads} threads of {kernel.registers} registers are more than there are")
    if {architecture for _, architecture in kernels} == set(ARCHITECTURES):
        gone = sorted(set(budgets.kernels) - {name for name, _ in kernels})
        if update:
            for name in gone:
                del budgets.kernels[name]
        else:
            errors += [f"{name}: CKernels/budgets lists it, and there is no such kernel" for name in gone]
        errors += [f"{rule[1].pattern}: no kernel has this name" for i, rule in enumerate(budgets.rules) if i not in used]
    most = max((kernel.registers for kernel in kernels.values()), default=0)
    print(f"{len(kernels)} kernels, at most {most} registers, {len(errors)} errors")
    return errors


def check_launches(budgets, launches, update):
    errors = []
    for name, (threads, shared) in sorted(launches.items()):
        if update:
            budgets.set(name, "shared", shared)
        elif name not in budgets.kernels:
            errors.append(f"{name}: CKernels/budgets does not list it; Scripts/build-cuda --update adds it")
            continue
        allowed, compiled = budgets.get(name, "shared"), budgets.get(name, "threads")
        only_sm90 = [budgets.get(name, column) == "-" for column in ARCHITECTURES] == [True, True, False]
        limit = SHARED_LIMIT_SM90 if only_sm90 else SHARED_LIMIT
        if allowed != str(shared):
            errors.append(f"{name}: launched with {shared} bytes of shared memory, and its budget is {allowed}; "
                          "Scripts/test-kernels plain --update-budgets writes what is launched")
        if shared > limit:
            errors.append(f"{name}: {shared} bytes of shared memory, and a block may have {limit}")
        if compiled != "-" and threads > int(compiled):
            errors.append(f"{name}: launched with {threads} threads, and compiled for {compiled}")
    errors += [f"{name}: no test launches it" for name in sorted(set(budgets.kernels) - set(launches))]
    most = max((shared for _, shared in launches.values()), default=0)
    print(f"{len(launches)} kernels launched, at most {most} bytes of shared memory, {len(errors)} errors")
    return errors


def main():
    update = "--update" in sys.argv
    budgets = Budgets()
    if "--launches" in sys.argv:
        at = sys.argv.index("--launches")
        found = read_launches(sys.argv[at + 1], sys.argv[at + 2])
        errors = check_launches(budgets, found, update)
    else:
        found = read_objects(sys.stdin.read().split())
        errors = check_objects(budgets, found, update)
    if update:
        budgets.write()
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    sys.exit(1 if errors or not found else 0)


if __name__ == "__main__":
    main()
