"""Puts what `gpu-report` gathered into one JSON document, and its ratios into the Markdown.

    gpu_compare.py FOLDER --gpu NAME --driver VERSION
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


def comparisons(kernels, peers):
    """Rows of (what, our microseconds, our rate, the best peer, its microseconds, peer / ours)."""
    ours = (kernels or {}).get("figures", {})
    memory = next((figure["value"] for name, figure in ours.items() if name.startswith("add ") and name.endswith("rate")), None)
    for name, figure in ours.items():
        if figure["unit"] != "µs":
            continue
        rate = ours.get(name + ", rate")
        share = None
        if rate and rate["unit"] == "GB/s" and memory:
            share = rate["value"] / memory
        measured = {key: value for key, value in ((peers or {}).get("figures", {}).get(name) or {}).items() if value}
        best = min(measured, key=measured.get) if measured else None
        yield {
            "name": name,
            "microseconds": figure["value"],
            "rate": rate,
            "of_measured_bandwidth": share,
            "peers": measured,
            "best_peer": best,
            "ratio": measured[best] / figure["value"] if best else None,
        }


def table(rows):
    yield "## Beside PyTorch, in the same run"
    yield ""
    yield "A ratio above 1 is in our favour; bandwidth is a part of what a plain sum of two vectors reaches here."
    yield ""
    yield "| what | µs | rate | of bandwidth | best peer | µs | ratio |"
    yield "|---|---|---|---|---|---|---|"
    for row in rows:
        rate = f"{row['rate']['value']:.0f} {row['rate']['unit']}" if row["rate"] else "-"
        share = f"{row['of_measured_bandwidth']:.2f}" if row["of_measured_bandwidth"] else "-"
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
    arguments = parser.parse_args()
    folder = arguments.folder
    kernels, peers = read(folder, "kernels.json"), read(folder, "peers.json")
    rows = list(comparisons(kernels, peers))
    model = {name: read(folder, f"{name}.json") for name in ("model", "model-batch", "model-peers")}
    document = {
        "gpu": arguments.gpu,
        "driver": arguments.driver,
        "machine": (folder / "raw" / "machine.txt").read_text().splitlines(),
        "verify": read(folder, "verify.json"),
        "kernels": kernels,
        "peers": peers,
        "comparisons": rows,
        "model": model,
    }
    (folder / "report.json").write_text(json.dumps(document, indent=1) + "\n")
    text = list(table(rows))
    for name, figures in model.items():
        if figures:
            text += [f"## {name}", "", "```json", json.dumps(figures, indent=1), "```", ""]
    with open(folder / "report.md", "a") as report:
        report.write("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
