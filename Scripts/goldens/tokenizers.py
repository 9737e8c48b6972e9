#!/usr/bin/env python3
"""Writes Tests/Fixtures/tokenizers/stages.json: what the Hugging Face `tokenizers` library makes of small
tokenizers that between them use every stage we know, with all its options.

A stage that cuts or rewrites text is tested with a vocabulary of whole pieces, so that the ids tell the pieces.

    pip install tokenizers && Scripts/goldens/tokenizers.py
"""
import base64
import itertools
import json
import os
import random
import struct
import sys

# This file has the library's name; its folder must not come first.
sys.path.pop(0)
import tokenizers
from tokenizers import Tokenizer, models, trainers

OUTPUT = os.path.join(os.path.dirname(__file__), "..", "..", "Tests", "Fixtures", "tokenizers", "stages.json")

TEXTS = [
    "",
    " ",
    "Hello world",
    " Hello,  world! It's 3.14 o'clock -- isn't it?",
    "a  b   c\td\n\ne \n f",
    "\u00e9t\u00e9 E\u0301te\u0301 \u00c5ngstr\u00f6m \u1e69 s\u0323\u0307 \u212b \ufb01 \u2460 \u00bd x\u00b2",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01 \u65e5\u672c\u8a9e\u30c6\u30ad\u30b9\u30c8 \ud55c\uad6d\uc5b4 \u1112\u1161\u11ab",
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea \u2764\ufe0f",
    "\u041f\u0440\u0438\u0432\u0435\u0442 \u0399\u03a3 \u0130stanbul STRASSE \u00df",
    "line\r\nnext\rlast\u2028sep\u00a0nbsp\u3000wide\u200bzero",
    "2024-01-02 12345678 \u0663\u0664 \u216b \u00bc",
    "snake_case camelCase x=y+z; f(a[0])->b // #hash @at $5 50% a&b",
    "\u2581meta\u2581\u2581space \u2581x",
    "na\u00efve caf\u00e9s' don't WE'LL I'M you're 'tis",
    "\u0645\u0631\u062d\u0628\u0627 \u0939\u093f\u0928\u094d\u0926\u0940 \u0e44\u0e17\u0e22 \u05e9\u05b8\u05c1\u05dc\u05d5\u05dd",
    "\x00\x01tab\x7f\u0085\ufffd\ufeff\u00ad",
    "aaaa bbbb ababab aabbaabb",
    "word<mask>word <mask> <s>text</s>[SEP] x[SEP]y <mask>",
]


def build(model, **stages):
    spec = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": []}
    spec |= {"normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None}
    return spec | stages | {"model": model}


def pieces(texts=TEXTS, **stages):
    """A tokenizer whose model knows every piece of the texts."""
    tokenizer = Tokenizer.from_str(json.dumps(build(json.loads(models.WordLevel({"<unk>": 0}, "<unk>").__getstate__()), **stages)))
    tokenizer.train_from_iterator(
        texts, trainers.WordLevelTrainer(vocab_size=100000, min_frequency=0, special_tokens=["<unk>"], show_progress=False)
    )
    trained = json.loads(tokenizer.to_str())["model"]
    return build(trained, **stages)


def added(content, id, **flags):
    token = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": id, "content": content} | token | flags


def case(name, spec, texts=TEXTS, decodes=(), pairs=()):
    # `dropout` and the like come back as the library writes them, which is what users have.
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    spec = json.loads(tokenizer.to_str())
    encoded = []
    for text in texts:
        tokenizer.encode_special_tokens = False
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        special = tokenizer.encode(text).ids
        tokenizer.encode_special_tokens = True
        plain = tokenizer.encode(text, add_special_tokens=False).ids
        entry = {"text": text, "ids": ids}
        if special != ids:
            entry["special"] = special
        if plain != ids:
            entry["plain"] = plain
        encoded.append(entry)
    tokenizer.encode_special_tokens = False
    sequences = list(decodes) + ([e["ids"] for e in encoded] if spec["decoder"] else [])
    decoded = []
    for ids in sequences:
        try:
            entry = {"ids": ids, "text": tokenizer.decode(ids, skip_special_tokens=False)}
            skipped = tokenizer.decode(ids, skip_special_tokens=True)
        except BaseException as error:  # The library's `Strip` panics on texts shorter than what it strips.
            if "Panic" not in type(error).__name__:
                raise
            continue
        if skipped != entry["text"]:
            entry["skipped"] = skipped
        decoded.append(entry)
    paired = []
    for first, second in pairs:
        encoding = tokenizer.encode(first, second)
        bare = tokenizer.encode(first, second, add_special_tokens=False)
        paired.append({"first": first, "second": second, "ids": encoding.ids, "types": encoding.type_ids, "bare": bare.ids})
    return {"name": name, "tokenizer": spec, "encodes": encoded, "decodes": decoded, "pairs": paired}


def rounds(seed, count, size):
    """Random token sequences."""
    generator = random.Random(seed)
    return [[generator.randrange(size) for _ in range(generator.randrange(1, 14))] for _ in range(count)]


def split(pattern, behavior="Isolated", invert=False, regex=True):
    return {"type": "Split", "pattern": {"Regex" if regex else "String": pattern}, "behavior": behavior, "invert": invert}


def sequence(*stages):
    return {"type": "Sequence", "pretokenizers": list(stages)}


def metaspace(scheme="always", split=True):
    return {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": split}


def byte_level(prefix=False, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def pre_tokenizers():
    yield "ByteLevel", byte_level()
    yield "ByteLevel with a space before", byte_level(prefix=True)
    yield "ByteLevel without its expression", byte_level(regex=False)
    for behavior, invert in itertools.product(
        ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"], [False, True]
    ):
        yield f"Split {behavior} {invert}", split(r"[aeiou ]", behavior, invert)
        yield f"Split at nothing {behavior} {invert}", split(r"b*", behavior, invert)
    yield "Split at a string", split("  ", "MergedWithPrevious", regex=False)
    yield "Split at a string with signs", split(".", "Removed", regex=False)
    for pattern in [
        r"\w+|[^\w\s]+", r"\s+", r"\bw|\B.", r" ?[^(\s|[.,!?\u2026\u3002\uff0c])]+", r"[a-z&&[^aeiou]]+", r"\h+", r"(?i)[hw]\w+",
        r"\p{Lu}", r"[^\S\n]+", r"(?m).+", r".+$", r"\d{2,3}", r"[^a-z\W]+", r"\p{Han}+", r"(?:(?=[^b])\p{Ll})+", r"[^[a-e]\d]+",
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    ]:
        yield f"Split at {pattern}", split(pattern)
    yield "Whitespace", {"type": "Whitespace"}
    yield "WhitespaceSplit", {"type": "WhitespaceSplit"}
    yield "BertPreTokenizer", {"type": "BertPreTokenizer"}
    for scheme, cut in itertools.product(["always", "first", "never"], [True, False]):
        yield f"Metaspace {scheme} {cut}", metaspace(scheme, cut)
    yield "Digits", {"type": "Digits", "individual_digits": False}
    yield "single Digits", {"type": "Digits", "individual_digits": True}
    for behavior in ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]:
        yield f"Punctuation {behavior}", {"type": "Punctuation", "behavior": behavior}
    yield "CharDelimiterSplit", {"type": "CharDelimiterSplit", "delimiter": "-"}
    yield "Digits then ByteLevel", sequence({"type": "Digits", "individual_digits": True}, byte_level())
    yield "ByteLevel then Digits", sequence(byte_level(prefix=True), {"type": "Digits", "individual_digits": True})
    yield "WhitespaceSplit then Metaspace", sequence({"type": "WhitespaceSplit"}, metaspace("first"))
    yield "Split then Metaspace", sequence(split(r"[.!?]", "MergedWithPrevious"), metaspace("first"), {"type": "Punctuation", "behavior": "Isolated"})


def double_array(mapping):
    """A SentencePiece character map, its trie in the layout of Darts-clone (a plain search for free places)."""
    blob, values = b"", {}
    for key, value in mapping.items():
        values[key.encode()] = len(blob)
        blob += value.encode() + b"\0"
    children = {}
    for key in values:
        for length in range(len(key)):
            children.setdefault(key[:length], set()).add(key[length])
    units, used = [0] * 4096, {0}

    def place(prefix, position):
        labels = sorted(children.get(prefix, ()))
        codes = ([0] if prefix in values else []) + labels
        base = next(b for b in range(1, 2048) if all((b ^ position ^ 0) >= 0 and (b ^ c) not in used for c in codes) and b != position)
        used.update(base ^ c for c in codes)
        offset = base ^ position
        units[position] |= offset << 10 | (1 << 8 if prefix in values else 0)
        if prefix in values:
            units[base] = values[prefix] | 1 << 31
        for label in labels:
            units[base ^ label] = label
        for label in labels:
            place(prefix + bytes([label]), base ^ label)

    place(b"", 0)
    trie = struct.pack(f"<{len(units)}I", *units)
    return base64.b64encode(struct.pack("<I", len(trie)) + trie + blob).decode()


def normalizers():
    for form in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"]:
        yield form, {"type": form}
    for left, right in itertools.product([True, False], [True, False]):
        yield f"Strip {left} {right}", {"type": "Strip", "strip_left": left, "strip_right": right}
    yield "Prepend", {"type": "Prepend", "prepend": "\u2581>"}
    yield "Replace a string", {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    yield "Replace a pattern", {"type": "Replace", "pattern": {"Regex": r"\s+|(?<=a)b"}, "content": "_"}
    for clean, chinese, strip, lower in itertools.product([True, False], [True, False], [None, True, False], [True, False]):
        yield f"BertNormalizer {clean} {chinese} {strip} {lower}", {
            "type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese, "strip_accents": strip, "lowercase": lower,
        }
    yield "accents", {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, {"type": "NFC"}]}
    mapping = {"\u00e9": "e", "E\u0301": "E!", "\ufb01": "fi", "\u3000": " ", "\u2460": "1", "a": "A", "\u00bd": "1/2", "\u0001": "", "\u200d": "+"}
    yield "Precompiled", {"type": "Precompiled", "precompiled_charsmap": double_array(mapping)}
    yield "ByteLevel", {"type": "ByteLevel"}


def trained(model, trainer, **stages):
    tokenizer = Tokenizer(model)
    spec = json.loads(tokenizer.to_str()) | stages
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    return json.loads(tokenizer.to_str())


def cases():
    for name, stage in pre_tokenizers():
        yield case(f"pre-tokenizer {name}", pieces(pre_tokenizer=stage))
    for name, stage in normalizers():
        yield case(f"normalizer {name}", pieces(normalizer=stage))
    yield from added_tokens()
    yield from byte_pairs()
    yield from other_models()
    yield from decoder_cases()
    yield from post_processors()


def added_tokens():
    tokens = [
        added("<mask>", 900, lstrip=True), added("[SEP]", 901, single_word=True), added("<s>", 902, rstrip=True),
        added("</s>", 903), added("</s>[", 904, special=False), added("Hello", 905, special=False, normalized=True),
        added("\u00c9", 906, special=False, normalized=True, single_word=True), added("ab", 907, special=False, single_word=True),
        added("  ", 908, special=False, lstrip=True, rstrip=True), added("wor", 909, normalized=True),
    ]
    texts = TEXTS + ["hello HELLO Hello \u00c9 \u00e9 \u00c9t\u00e9", "<s> </s>[SEP] [SEP]  <mask>  ", "<mask><mask> <s>  <s>", "ab _ab ab_ ab-ab 1ab", "<s>Hello </s> x"]
    for name, normalizer, stage in [
        ("alone", None, {"type": "WhitespaceSplit"}),
        ("lower-case", {"type": "Lowercase"}, {"type": "WhitespaceSplit"}),
        ("metaspace first", None, metaspace("first")),
        ("prefix", {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, {"type": "NFD"}]}, None),
    ]:
        parts = texts + [t.replace("<s>", " ").replace("</s>", " ").replace("<mask>", " ").replace("[SEP]", " ") for t in texts]
        spec = pieces(parts, normalizer=normalizer, pre_tokenizer=stage, added_tokens=[])
        # Decoding is left out: version 0.23 spells normalized tokens in lower case, those before it as written.
        spec["added_tokens"] = tokens
        yield case(f"added tokens {name}", spec, texts)


def byte_pairs():
    trainer = lambda **options: trainers.BpeTrainer(vocab_size=160, show_progress=False, **options)
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    byte_spec = trained(
        models.BPE(), trainers.BpeTrainer(vocab_size=420, show_progress=False, initial_alphabet=alphabet),
        pre_tokenizer=byte_level(), decoder=byte_level(prefix=True),
    )
    yield case("BPE on bytes", byte_spec, decodes=rounds(1, 30, 420))
    byte_spec["model"]["ignore_merges"] = True
    byte_spec["model"]["vocab"]["\u0120world"] = 420
    byte_spec["model"]["vocab"]["camelCase"] = 421
    yield case("BPE on bytes, whole pieces first", byte_spec)
    byte_spec["model"]["ignore_merges"] = False
    yield case("BPE on bytes, tokens without merges", byte_spec)
    spec = trained(models.BPE(unk_token="<unk>"), trainer(special_tokens=["<unk>"], limit_alphabet=30), pre_tokenizer={"type": "Whitespace"})
    for fuse in [False, True]:
        spec["model"]["fuse_unk"] = fuse
        yield case(f"BPE on characters, fuse_unk {fuse}", spec)
    spec["model"]["unk_token"] = None
    yield case("BPE on characters, nothing unknown", spec)
    words = trainer(special_tokens=["<unk>"], continuing_subword_prefix="##", end_of_word_suffix="</w>", limit_alphabet=40)
    spec = trained(
        models.BPE(unk_token="<unk>", continuing_subword_prefix="##", end_of_word_suffix="</w>"), words,
        pre_tokenizer={"type": "WhitespaceSplit"}, decoder={"type": "BPEDecoder", "suffix": "</w>"},
    )
    yield case("BPE with prefix and suffix", spec, decodes=rounds(2, 20, len(spec["model"]["vocab"])))
    bytes_256 = [f"<0x{b:02X}>" for b in range(256)]
    llama = {
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
    }
    spec = trained(
        models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True),
        trainers.BpeTrainer(vocab_size=380, show_progress=False, limit_alphabet=40, special_tokens=["<unk>"] + bytes_256), **llama,
    )
    yield case("BPE with byte fallback", spec, decodes=rounds(3, 40, 380))
    spec["decoder"]["decoders"][3]["stop"] = 2
    yield case("stripping both ends", spec, decodes=rounds(4, 40, 380) + [[i, spec["model"]["vocab"]["\u2581"]] for i in range(300, 310)])
    for byte in [0x00, 0xC3, 0xE4, 0x80]:
        spec["model"]["vocab"].pop(f"<0x{byte:02X}>")
    spec["model"]["vocab"] = {t: i for i, t in enumerate(spec["model"]["vocab"])}
    yield case("BPE with holes in byte fallback", spec)


def other_models():
    bytes_256 = [f"<0x{b:02X}>" for b in range(256)]
    for fallback in [False, True]:
        special = ["<unk>"] + (bytes_256 if fallback else [])
        spec = trained(
            models.Unigram(), trainers.UnigramTrainer(vocab_size=300, show_progress=False, unk_token="<unk>", special_tokens=["<unk>"]),
            pre_tokenizer=metaspace(), decoder=metaspace(),
        )
        if fallback:
            spec["model"]["vocab"] += [[t, -20.0] for t in bytes_256]
            spec["model"]["byte_fallback"] = True
            # Fewer characters, so that some must fall back.
            spec["model"]["vocab"] = [p for p in spec["model"]["vocab"] if p[0].isascii() or p[0].startswith("\u2581")]
        yield case(f"Unigram, byte fallback {fallback}", spec, decodes=rounds(5, 30, len(spec["model"]["vocab"])))
    ties = [["<unk>", 0.0], ["a", -1.0], ["aa", -2.0], ["b", -1.5], ["ab", -2.5], ["ba", -2.5], ["aab", -3.5], ["bb", -3.0], ["<0x61>", -9.0]]
    yield case("Unigram with ties", build({"type": "Unigram", "unk_id": 0, "vocab": ties, "byte_fallback": False}))
    spec = trained(
        models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(vocab_size=180, show_progress=False, special_tokens=["[UNK]"], limit_alphabet=60),
        pre_tokenizer={"type": "BertPreTokenizer"}, decoder={"type": "WordPiece", "prefix": "##", "cleanup": True},
    )
    yield case("WordPiece", spec, decodes=rounds(6, 30, len(spec["model"]["vocab"])))
    spec["model"]["max_input_chars_per_word"] = 4
    spec["decoder"]["cleanup"] = False
    yield case("WordPiece with short words", spec, decodes=rounds(7, 30, len(spec["model"]["vocab"])))


def decoder_cases():
    tokens = ["<unk>", "a", "\u2581b", "\u2581", "\u2581\u2581", "c\u2581d", "##e", "f</w>", " .", "n't", " '", " do not", "'m", "<0x41>", "<0xE4>", "<0xBD>", "<0xA0>", "<0xFF>", "<0x0a>", "\u0120g", "\u00c3", "\u00a9", "\u4f60", " ", "  ", "!", "<s>"]
    model = {"type": "WordLevel", "vocab": {t: i for i, t in enumerate(tokens)}, "unk_token": "<unk>"}
    extra = [added("<s>", 26), added("\u0120 x", 40), added("\u00e9", 41, special=False)]
    ids = rounds(8, 60, 42)
    replace = {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}
    strip = lambda a, b: {"type": "Strip", "content": " ", "start": a, "stop": b}
    several = lambda *stages: {"type": "Sequence", "decoders": list(stages)}
    fallback, fuse = {"type": "ByteFallback"}, {"type": "Fuse"}
    for name, decoder in [
        ("none", None), ("ByteLevel", byte_level()), ("ByteFallback", fallback), ("Fuse", fuse), ("Strip", strip(1, 1)), ("Replace", replace),
        ("Replace a pattern", {"type": "Replace", "pattern": {"Regex": "[ab]+"}, "content": "<>"}),
        ("Metaspace always", metaspace("always")), ("Metaspace first", metaspace("first")), ("Metaspace never", metaspace("never")),
        ("WordPiece", {"type": "WordPiece", "prefix": "##", "cleanup": True}), ("WordPiece unclean", {"type": "WordPiece", "prefix": "##", "cleanup": False}),
        ("BPEDecoder", {"type": "BPEDecoder", "suffix": "</w>"}),
        ("Llama", several(replace, fallback, fuse, strip(1, 0))), ("Gemma", several(replace, fallback, fuse)),
        ("fallback then Metaspace", several(fallback, metaspace("always"))), ("fallback then ByteLevel", several(fallback, byte_level())),
        ("Fuse then Replace", several(fuse, replace)), ("Fuse then two", several(fuse, replace, strip(2, 2))),
        ("ByteLevel then Strip", several(byte_level(), strip(1, 1))), ("Strip then Fuse", several(strip(1, 0), fuse)),
        ("Metaspace then WordPiece", several(metaspace("always"), {"type": "WordPiece", "prefix": "##", "cleanup": True})),
    ]:
        yield case(f"decoder {name}", build(model, decoder=decoder, added_tokens=extra), texts=[], decodes=ids)


def post_processors():
    spec = pieces(pre_tokenizer={"type": "WhitespaceSplit"})
    spec["added_tokens"] = [added("[CLS]", 900), added("[SEP]", 901)]
    piece = lambda token, type_id=0: {"SpecialToken": {"id": token, "type_id": type_id}}
    text = lambda name, type_id=0: {"Sequence": {"id": name, "type_id": type_id}}
    special = {"[CLS]": {"id": "[CLS]", "ids": [900], "tokens": ["[CLS]"]}, "two": {"id": "two", "ids": [901, 900], "tokens": ["[SEP]", "[CLS]"]}}
    template = {
        "type": "TemplateProcessing", "single": [piece("[CLS]"), text("A"), piece("two", 1)],
        "pair": [text("B", 2), piece("[CLS]", 1), text("A", 3), piece("two")], "special_tokens": special,
    }
    named = {"sep": ["[SEP]", 901], "cls": ["[CLS]", 900]}
    level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    pairs = [("Hello world", "a b"), ("", "x"), ("x", "")]
    for name, stage in [
        ("none", None), ("TemplateProcessing", template), ("ByteLevel", level), ("BertProcessing", {"type": "BertProcessing"} | named),
        ("RobertaProcessing", {"type": "RobertaProcessing", "trim_offsets": True, "add_prefix_space": True} | named),
        ("Sequence", {"type": "Sequence", "processors": [level, template]}),
    ]:
        yield case(f"post-processor {name}", spec | {"post_processor": stage}, texts=TEXTS[:4], pairs=pairs)


DIGEST_RANGES = [(0x00, 0x3400), (0xAC00, 0xAC80), (0xF900, 0x10000), (0x10780, 0x107C0), (0x11000, 0x11A00), (0x1D100, 0x1F200), (0x2F800, 0x2FA20)]


def digests():
    """FNV-1a over what each normalizer makes of every scalar of the ranges, each ended by a zero byte."""
    scalars = [c for first, end in DIGEST_RANGES for c in range(first, end)]
    stages = [{"type": form} for form in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt"]]
    stages += [dict(s) for n, s in normalizers() if n in ("BertNormalizer True True True True", "BertNormalizer True False False False")]
    result = []
    for stage in stages:
        normalizer = Tokenizer.from_str(json.dumps(build({"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}, normalizer=stage))).normalizer
        value = 0xCBF29CE484222325
        for scalar in scalars:
            # Behind a letter and before a mark, so that order and composition count.
            for text in (chr(scalar), "a" + chr(scalar) + "\u0323"):
                for byte in normalizer.normalize_str(text).encode() + b"\0":
                    value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
        result.append({"normalizer": stage, "digest": f"{value:016x}"})
    return result


def main():
    result = {"library": f"tokenizers {tokenizers.__version__}", "digests": digests(), "digest_ranges": DIGEST_RANGES}
    result["tokenizers"] = list(cases())
    with open(OUTPUT, "w", encoding="utf-8") as file:
        json.dump(result, file, ensure_ascii=False, separators=(",", ":"))
    print(len(result["tokenizers"]), "tokenizers,", os.path.getsize(OUTPUT), "bytes")


if __name__ == "__main__":
    main()
