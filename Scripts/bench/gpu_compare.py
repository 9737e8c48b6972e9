"""Puts what `gpu-report` gathered into one JSON document, and its ratios into the Markdown.

    gpu_compare.py FOLDER --gpu NAME --driver VERSION --commit COMMIT
"""

import argparse
import json
import pathlib


def read(folder, name):
    path = folder / "raw" / name
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def floors(kernels, peers):
    """What this device reached in this run, by unit: bandwidth of a plain sum of two vectors, and the fastest product."""
    ours = (kernels or {}).get("figures", {})
    found = {}
    for name, figure in ours.items():
        rate = ours.get(name + ", rate")
        if not rate:
            continue
        if rate["unit"] == "GB/s" and name.startswith("add "):
            found.setdefault("GB/s", rate["value"])
        if rate["unit"] == "TFLOP/s" and name.startswith("linear "):
            theirs = [value for value in (peer_times(peers, name)).values()]
            best = rate["value"] * max([1] + [figure["value"] / value for value in theirs])
            found["TFLOP/s"] = max(best, found.get("TFLOP/s", 0))
    return found


def peer_times(peers, name):
    return {key: value for key, value in ((peers or {}).get("figures", {}).get(name) or {}).items() if value}


def comparisons(kernels, peers):
    """Rows of what was timed: our microseconds and rate, the part of the measured floor, and the best peer's."""
    ours = (kernels or {}).get("figures", {})
    floor = floors(kernels, peers)
    for name, figure in ours.items():
        if figure["unit"] != "µs":
            continue
        rate = ours.get(name + ", rate")
        measured = peer_times(peers, name)
        best = min(measured, key=measured.get) if measured else None
        yield {
            "name": name,
            "microseconds": figure["value"],
            "rate": rate,
            "of_measured_floor": rate["value"] / floor[rate["unit"]] if rate and floor.get(rate["unit"]) else None,
            "peers": measured,
            "best_peer": best,
            "ratio": measured[best] / figure["value"] if best else None,
        }


def decode_share(figures, config, bandwidth):
    """Decode of one sequence as a part of the speed at which its weights alone could be read, or None."""
    if not figures or not config or not bandwidth or figures["setting"].get("batch") != "1":
        return None
    count, unit = figures["setting"]["weights"].split()
    size = float(count) * {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit]
    if not config.get("tie_word_embeddings"):
        size -= config["vocab_size"] * config["hidden_size"] * 2
    return figures["figures"]["decode, median"]["value"] * size / (bandwidth * 1e9)


def table(rows):
    yield "## Beside PyTorch, in the same run"
    yield ""
    yield "A ratio above 1 is in our favour. The floor is what was measured in this run: the bandwidth of a plain sum of two"
    yield "vectors for what memory bounds, and the fastest product, ours or a peer's, for what arithmetic does."
    yield ""
    yield "| what | µs | rate | of the floor | best peer | µs | ratio |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        rate = f"{row['rate']['value']:.4g} {row['rate']['unit']}" if row["rate"] else "-"
        share = f"{row['of_measured_floor']:.2f}" if row["of_measured_floor"] else "-"
        best = row["best_peer"] or "not measured"
        time = f"{row['peers'][best]:.1f}" if row["best_peer"] else "-"
        ratio = f"{row['ratio']:.2f}" if row["ratio"] else "-"
        yield f"| {row['name']} | {row['microseconds']:.1f} | {rate} | {share} | {best} | {time} | {ratio} |"
    yield ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--gpu", required=True)
    parser.add_argument("--driver", required=True)
    parser.add_argument("--commit", required=True)
    arguments = parser.parse_args()
    folder = arguments.folder
    kernels, peers = read(folder, "kernels.json"), read(folder, "peers.json")
    rows = list(comparisons(kernels, peers))
    model = {name: read(folder, f"{name}.json") for name in ("model", "model-batch", "model-peers")}
    share = decode_share(model["model"], read(folder, "model-config.json"), floors(kernels, peers).get("GB/s"))
    document = {
        "gpu": arguments.gpu,
        "driver": arguments.driver,
        "commit": arguments.commit,
        "machine": (folder / "raw" / "machine.txt").read_text().splitlines(),
        "verify": read(folder, "verify.json"),
        "kernels": kernels,
        "peers": peers,
        "comparisons": rows,
        "model": model,
        "decode_of_measured_floor": share,
    }
    (folder / "report.json").write_text(json.dumps(document, indent=1) + "\n")
    text = list(table(rows))
    if share:
        text += [f"Decode of one sequence reads its weights at {share:.2f} of the measured bandwidth.", ""]
    for name, figures in model.items():
        if figures:
            text += [f"## {name}", "", "```json", json.dumps(figures, indent=1), "```", ""]
    with open(folder / "report.md", "a") as report:
        report.write("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
