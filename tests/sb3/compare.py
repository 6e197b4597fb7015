"""Trains CartPole-v1 with Stable-Baselines3 and with knightwatch, in turns, seed by seed, on one thread each.

Prints a table and writes OUT.json (every run) and OUT.svg (seconds to the goal). The claim is the ratio within one
run: seconds alone say as much about the computer. Needs nothing but Python beside what `.ci/sb3` installs.
"""

import argparse
import json
import math
import os
import pathlib
import random
import resource
import statistics
import subprocess
import sys
import time
from html import escape

HERE = pathlib.Path(__file__).parent
SB3, SAME, FAST = "Stable-Baselines3", "knightwatch, same settings", "knightwatch, its own settings"
COLOURS = {SB3: "#e0a458", SAME: "#7aa2f7", FAST: "#73daca"}
# One run takes about half a minute; what takes longer than this hangs.
PATIENCE = 600


def run(command: list[str]) -> dict:
    """What the command prints as JSON, and its CPU time; ends the comparison where there is nothing of the kind."""
    one_thread = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=os.environ | one_thread)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        # knightwatch ends with a status of its own where it misses the goal, and tells all the same.
        said = json.loads(done.stdout)
    except json.JSONDecodeError:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr.strip() or done.stdout.strip()}")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_seconds": spent} | said


def measured(name: str, seed: int, binary: str) -> dict:
    """One training: seed, solved, steps, and seconds of the training alone, without start and imports.

    `cpu_seconds` is what other programs on the computer disturb least. Stable-Baselines3's is the training's;
    knightwatch's is the whole process's.
    """
    if name == SB3:
        return run([sys.executable, str(HERE / "cartpole.py"), str(seed)])
    preset = "sb3" if name == SAME else "fast"
    return knightwatch(run([binary, "cartpole", "--preset", preset, "--seed", str(seed), "--json"]), seed)


def knightwatch(said: dict, seed: int) -> dict:
    solved = said["solved_at_step"] is not None
    return {"seed": seed, "solved": solved} | {name: said[name] for name in ("steps", "seconds", "cpu_seconds")}


def interval(runs: dict, name: str) -> tuple[float, float]:
    """95 % interval of how many times faster than Stable-Baselines3, over the seeds: bootstrap of medians, in pairs."""
    pairs = list(zip((r["seconds"] for r in runs[SB3]), (r["seconds"] for r in runs[name])))
    dice = random.Random(7)
    ratios = []
    for _ in range(2000):
        drawn = dice.choices(pairs, k=len(pairs))
        ratios.append(statistics.median(a for a, _ in drawn) / statistics.median(b for _, b in drawn))
    ratios.sort()
    return ratios[49], ratios[1949]


def summary(runs: dict, name: str) -> dict:
    """Medians count a run that did not reach the goal with the time it took: too kind to whoever fails."""
    of = runs[name]
    speed = [r["steps"] / r["seconds"] for r in of]
    sb3_speed = [r["steps"] / r["seconds"] for r in runs[SB3]]
    seconds = statistics.median(r["seconds"] for r in of)
    cpu = {each: statistics.median(r["cpu_seconds"] for r in runs[each]) for each in (SB3, name)}
    return {
        "name": name,
        "seeds": len(of),
        "solved": sum(r["solved"] for r in of),
        "median_seconds": seconds,
        "median_steps": statistics.median(r["steps"] for r in of),
        "median_steps_per_second": statistics.median(speed),
        "times_faster": statistics.median(r["seconds"] for r in runs[SB3]) / seconds,
        "times_faster_95": list(interval(runs, name)),
        "times_the_steps_per_second": statistics.median(speed) / statistics.median(sb3_speed),
        "median_cpu_seconds": cpu[name],
        "times_less_cpu": cpu[SB3] / cpu[name],
    }


def table(rows: list[dict]) -> str:
    head = f"{'':30} {'solved':>7} {'seconds':>8} {'steps':>8} {'steps/s':>9} {'times faster (95 %)':>22} {'by CPU':>7} {'steps/s':>8}"
    lines = [head]
    for row in rows:
        low, high = row["times_faster_95"]
        faster = f"{row['times_faster']:.1f} ({low:.1f} to {high:.1f})"
        lines.append(
            f"{row['name']:30} {row['solved']:>4}/{row['seeds']:<2} {row['median_seconds']:8.2f} "
            f"{row['median_steps']:8.0f} {row['median_steps_per_second']:9.0f} {faster:>22} "
            f"{row['times_less_cpu']:6.1f}x {row['times_the_steps_per_second']:7.1f}x"
        )
    return "\n".join(lines)


def picture(runs: dict, rows: list[dict]) -> str:
    """A dot for each seed and a bar for the median, on a logarithmic axis of seconds. A hollow dot missed the goal."""
    width, left, right, top, step = 900, 250, 40, 70, 62
    height = top + step * len(rows) + 50
    every = [r["seconds"] for of in runs.values() for r in of]
    low, high = math.log10(min(every)) - 0.08, math.log10(max(every)) + 0.08

    def at(seconds: float) -> float:
        return left + (math.log10(seconds) - low) / (high - low) * (width - left - right)

    bottom = top + step * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="14">',
        f'<rect width="{width}" height="{height}" rx="8" fill="#16161e"/>',
        '<text x="20" y="30" fill="#c0caf5" font-size="17">CartPole-v1: seconds until the last 100 episodes '
        "average 475</text>",
        f'<text x="20" y="50" fill="#9aa5ce" font-size="12">one thread each, in turns; a dot for each of '
        f"{rows[0]['seeds']} seeds, a bar for the median, logarithmic</text>",
    ]
    for exponent in range(-2, 4):
        for digit in (1, 2, 5):
            seconds = digit * 10.0**exponent
            if low <= math.log10(seconds) <= high:
                x = at(seconds)
                parts.append(f'<path d="M{x:.1f} {top}V{bottom}" stroke="#2f3549"/>')
                parts.append(
                    f'<text x="{x:.1f}" y="{bottom + 20}" fill="#9aa5ce" text-anchor="middle">{seconds:g} s</text>'
                )
    for index, row in enumerate(rows):
        name, y = row["name"], top + step * index + step / 2
        colour = COLOURS[name]
        note = f"{row['median_seconds']:.2f} s, {row['median_steps_per_second'] / 1000:.1f}k steps/s"
        if name != SB3:
            note += f", {row['times_faster']:.1f}x"
        parts.append(f'<text x="20" y="{y - 2:.1f}" fill="#c0caf5">{escape(name)}</text>')
        parts.append(f'<text x="20" y="{y + 16:.1f}" fill="{colour}" font-size="12">{note}</text>')
        for r in runs[name]:
            inside = colour if r["solved"] else "none"
            parts.append(
                f'<circle cx="{at(r["seconds"]):.1f}" cy="{y:.1f}" r="5" fill="{inside}" fill-opacity="0.6" '
                f'stroke="{colour}"/>'
            )
        x = at(row["median_seconds"])
        parts.append(f'<path d="M{x:.1f} {y - 16:.1f}V{y + 16:.1f}" stroke="{colour}" stroke-width="3"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--knightwatch", required=True, help="the binary, built with --features train")
    arguments.add_argument("--seeds", type=int, default=10)
    arguments.add_argument("--out", required=True, help="without its ending")
    given = arguments.parse_args()
    names = [SB3, SAME, FAST]
    runs: dict[str, list[dict]] = {name: [] for name in names}
    versions: dict[str, str] = {}
    begun = time.monotonic()
    for seed in range(1, given.seeds + 1):
        # Whoever begins changes with the seed, so that nobody always runs on a warm or a cold computer.
        for name in names[seed % 3 :] + names[: seed % 3]:
            result = measured(name, seed, given.knightwatch)
            versions |= result.pop("versions", {})
            runs[name].append(result)
            print(
                f"{time.monotonic() - begun:6.0f} s  seed {seed:2}  {name:30} "
                f"{result['seconds']:7.2f} s {result['steps']:7} steps{'' if result['solved'] else '  NOT SOLVED'}",
                flush=True,
            )
    rows = [summary(runs, name) for name in names]
    print(table(rows))
    out = pathlib.Path(given.out)
    told = {
        "what": "CartPole-v1, until the last 100 episodes average 475, one thread each, in turns",
        "versions": versions,
        "rows": rows,
        "runs": runs,
    }
    out.with_suffix(".json").write_text(json.dumps(told, indent=1) + "\n")
    out.with_suffix(".svg").write_text(picture(runs, rows))
    print(f"written: {out.with_suffix('.json')}, {out.with_suffix('.svg')}")


main()
