"""Holds compiled kernels to CKernels/budgets. Called by Scripts/build-cuda with the objects' names on standard input.

Lines of the budgets file, # for a comment:

    expect NAME INSTRUCTION...      kernels whose name matches have each of these, on every architecture
    expect NAME@sm_90a INSTRUCTION...                                            on one architecture
    never NAME INSTRUCTION...       they have none of these
    limit NAME[@ARCHITECTURE] N     the registers that they may take where no line of their own says
    NAME SM_80 SM_89 SM_90A         the registers a kernel may take on each architecture, - where it does not exist

NAME after expect, never and limit is a regular expression of a kernel's name; an instruction is the beginning of one, as
cuobjdump prints it. --update rewrites the register lines.
"""

import pathlib
import re
import subprocess
import sys

BUDGETS = pathlib.Path(__file__).resolve().parents[2] / "CKernels" / "budgets"
ARCHITECTURES = ("sm_80", "sm_89", "sm_90a")


def demangle(names):
    """Template arguments stay, parameters and namespaces go: prefill_kernel<bf16,128>."""
    done = subprocess.run(["c++filt"], input="\n".join(names), text=True, capture_output=True, check=True).stdout
    result = {}
    for name, plain in zip(names, done.split("\n")):
        plain = re.sub(r"\(anonymous namespace\)::|gpu::|^void |\(int\)|\(bool\)", "", plain)
        plain = re.sub(r"\([^()]*\)$", "", plain)
        result[name] = re.sub(r"\s+", "", plain.replace("true", "1").replace("false", "0"))
    return result


class Kernel:
    def __init__(self):
        self.registers = self.stack = self.spills = 0
        self.instructions = {}


def read(objects):
    """{(mangled name, architecture): Kernel} without the tests' own kernels."""
    kernels = {}
    for path in objects:
        architecture = path.rsplit(".", 1)[1]
        name = None
        for line in pathlib.Path(path + ".log").read_text().split("\n"):
            if match := re.search(r"Compiling entry function '(\w+)' for", line):
                name = match[1]
                kernels[name, architecture] = Kernel()
            elif name and (match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+)", line)):
                # Functions that kernels call have lines of their own, which add up.
                kernels[name, architecture].stack += int(match[1])
                kernels[name, architecture].spills += int(match[2]) + int(match[3])
            elif name and (match := re.search(r"Used (\d+) registers", line)):
                kernels[name, architecture].registers = int(match[1])
        for line in pathlib.Path(path + ".sass").read_text().strip().split("\n")[1:]:
            name, instruction, count = line.split()
            if (name, architecture) in kernels:
                kernels[name, architecture].instructions[instruction] = int(count)
    names = demangle(sorted({name for name, _ in kernels}))
    return {(names[n], a): k for (n, a), k in kernels.items() if not names[n].startswith("test::")}


def read_budgets():
    rules, registers, text = [], {}, []
    for line in BUDGETS.read_text().split("\n"):
        words = line.split()
        if words and words[0] in ("expect", "never", "limit"):
            pattern, _, architecture = words[1].partition("@")
            rules.append((words[0], re.compile(pattern + r"\Z"), architecture, words[2:]))
        elif words and words[0] != "#" and not line.startswith("#"):
            registers[words[0]] = dict(zip(ARCHITECTURES, words[1:]))
            continue
        text.append(line)
    return rules, registers, "\n".join(text).rstrip() + "\n"


def main():
    kernels = read(sys.stdin.read().split())
    built = {architecture for _, architecture in kernels}
    rules, budgets, text = read_budgets()
    errors, used = [], set()
    for (name, architecture), kernel in sorted(kernels.items()):
        where = f"{name} for {architecture}"
        if "--verbose" in sys.argv:
            print(f"{kernel.registers:4} registers  {where}")
        if kernel.stack or kernel.spills:
            errors.append(f"{where}: {kernel.stack} bytes of stack, {kernel.spills} of spills")
        if not kernel.instructions:
            errors.append(f"{where}: no instructions were found in its object")
        limit = "-"
        for index, (kind, pattern, only, instructions) in enumerate(rules):
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
        if "--update" in sys.argv:
            budgets.setdefault(name, {})[architecture] = str(kernel.registers)
            continue
        allowed = budgets.get(name, {}).get(architecture, "-")
        if allowed == "-":
            allowed = limit
        if allowed == "-":
            errors.append(f"{where}: CKernels/budgets does not list it; Scripts/build-cuda --update adds it")
        elif kernel.registers > int(allowed):
            errors.append(f"{where}: {kernel.registers} registers, and its budget is {allowed}")
    if built == set(ARCHITECTURES):
        gone = sorted(set(budgets) - {name for name, _ in kernels})
        if "--update" in sys.argv:
            for name in gone:
                del budgets[name]
        else:
            errors += [f"{name}: CKernels/budgets lists it, and there is no such kernel" for name in gone]
        errors += [f"{rules[i][1].pattern}: no kernel has this name" for i in range(len(rules)) if i not in used]
    if "--update" in sys.argv:
        width = max(map(len, budgets), default=0)
        lines = [
            f"{name:{width}} " + " ".join(f"{row.get(architecture, '-'):>4}" for architecture in ARCHITECTURES)
            for name, row in sorted(budgets.items())
        ]
        BUDGETS.write_text(text + "\n" + "\n".join(lines) + "\n")
    for error in errors:
        print(f"error: {error}", file=sys.stderr)
    most = max((kernel.registers for kernel in kernels.values()), default=0)
    print(f"{len(kernels)} kernels, at most {most} registers, {len(errors)} errors")
    sys.exit(1 if errors or not kernels else 0)


if __name__ == "__main__":
    main()
