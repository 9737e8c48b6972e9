#!/usr/bin/env python3
"""Writes Sources/Tokenizers/Unicode/UnicodeData*.swift: the Unicode properties that tokenizers depend on.

The properties are read off the Hugging Face `tokenizers` library, stage by stage and scalar by scalar, because
its stages use tables of different Unicode versions and the ids must come out the same. Python's `unicodedata`
adds what cannot be observed: the values of combining classes, where the library has one.

    pip install tokenizers && Scripts/generate-unicode-tables.py
"""
import os
import unicodedata

from tokenizers import Regex, normalizers, pre_tokenizers

SCALARS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
FOLDER = os.path.join(os.path.dirname(__file__), "..", "Sources", "Tokenizers", "Unicode")


def matching(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    found = set()
    for start in range(0, len(SCALARS), 4096):
        text = "".join(map(chr, SCALARS[start : start + 4096]))
        for piece, _ in split.pre_tokenize_str(text):
            found.update(map(ord, piece))
    return found


def between_letters(stage):
    """By scalar: how the stage treats it between two letters: the pieces it is split into."""
    shapes = {}
    for start in range(0, len(SCALARS), 2048):
        block = SCALARS[start : start + 2048]
        text = "".join("a" + chr(c) for c in block) + "a"
        starts = {a for _, (a, _) in stage.pre_tokenize_str(text)}
        for index, scalar in enumerate(block):
            shapes[scalar] = (2 * index + 1 in starts, 2 * index + 2 in starts)
    return shapes


def removed(stage):
    return {c for c in SCALARS if stage.normalize_str(chr(c)) == ""}


def isolated(stage):
    return {c for c, shape in between_letters(stage).items() if shape == (True, True)}


def bert(clean=False, strip=False):
    return normalizers.BertNormalizer(
        clean_text=clean, handle_chinese_chars=False, strip_accents=strip, lowercase=False
    )


def classes():
    ascii_letters = {c for c in range(128) if chr(c).isalpha()}
    words = {c for c, shape in between_letters(pre_tokenizers.Whitespace()).items() if shape == (False, False)}
    flags = [
        matching(r"\p{L}"),
        matching(r"\p{N}"),
        words,
        isolated(pre_tokenizers.BertPreTokenizer()) - ascii_letters,
        removed(bert(clean=True)),
        isolated(pre_tokenizers.Digits(individual_digits=True)) - ascii_letters,
        removed(normalizers.StripAccents()),
        removed(bert(strip=True)),
    ]
    table = [0] * 0x110000
    for bit, members in enumerate(flags):
        for scalar in members:
            table[scalar] |= 1 << bit
    return table


def runs(table):
    result = []
    for scalar, value in enumerate(table):
        if result and result[-1][1] == value:
            result[-1][0] += 1
        else:
            result.append([1, value])
    return [number for run in result for number in run]


def decompositions():
    nfd, nfkd, nfc = normalizers.NFD(), normalizers.NFKD(), normalizers.NFC()
    canonical, compatible = [], []
    last = 0
    for scalar in SCALARS:
        if 0xAC00 <= scalar <= 0xD7A3:
            continue
        text = chr(scalar)
        full = nfd.normalize_str(text)
        if full != text:
            composes = nfc.normalize_str(full) == text
            canonical += entry(scalar - last, full, 2 * len(full) + composes)
            last = scalar
    last = 0
    for scalar in SCALARS:
        text = chr(scalar)
        full = nfkd.normalize_str(text)
        if full != nfd.normalize_str(text):
            compatible += entry(scalar - last, full, len(full))
            last = scalar
    return canonical, compatible


def combining_class(scalar):
    """0 where the library does not reorder the scalar, for its tables are older than Python's."""
    value = unicodedata.combining(chr(scalar))
    if value == 0:
        return 0
    # U+0334 has class 1, U+0323 class 220; a mark of a lower class moves before one of a higher.
    text = "a\u0323" + chr(scalar) if value == 1 else "a" + chr(scalar) + "\u0334"
    return value if normalizers.NFD().normalize_str(text) != text else 0


def entry(delta, text, head):
    return [delta, head] + [ord(c) for c in text]


def encode(numbers):
    """Base-32 digits, the least significant first, in characters from '0' on; bit 5 says that more follow."""
    out = []
    for number in numbers:
        while True:
            digit, number = number & 31, number >> 5
            out.append(chr(0x30 + digit + (32 if number else 0)))
            if not number:
                break
    return "".join(out)


def literal(name, comment, numbers):
    text = encode(numbers)
    lines = "\n".join("    " + text[i : i + 104] for i in range(0, len(text), 104))
    return f'  /// {comment}\n  static let {name}: StaticString = #"""\n{lines}\n    """#\n'


def main():
    canonical, compatible = decompositions()
    combining = runs([0 if 0xD800 <= c <= 0xDFFF else combining_class(c) for c in range(0x1F000)])
    write(
        "UnicodeData.swift",
        "/// Unicode properties as numbers: base-32 digits, least significant first, in characters from \"0\"\n"
        "/// on; bit 5 of a digit says that more follow. Line breaks don't count.\n"
        "enum UnicodeData {\n",
        literal("classes", "Runs (count, flags) over all scalars from 0 on.", runs(classes())),
        literal("combiningClasses", "Runs (count, class) over the scalars from 0 on; then 0.", combining),
    )
    write(
        "UnicodeData+Decompositions.swift",
        "extension UnicodeData {\n",
        literal("canonical", "(distance to the last, 2 × count + composes, scalars…) by scalar.", canonical),
        literal("compatible", "(distance to the last, count, scalars…) where it is not canonical.", compatible),
    )


def write(name, head, *parts):
    with open(os.path.join(FOLDER, name), "w", encoding="utf-8") as file:
        file.write("// Written by Scripts/generate-unicode-tables.py; do not edit.\n\n")
        file.write(head + "\n".join(parts) + "}\n")


main()
