"""The notebooks run top to bottom, are committed with their outputs, and define nothing twice.

To write the outputs anew, in notebooks/:
    jupyter nbconvert --execute --inplace --ExecutePreprocessor.record_timing=False *.ipynb
where ipywidgets is not installed: the laboratory's outputs are then pictures.
Those of MNIST need PYTHONWARNINGS=ignore:IProgress there, and DPM_JAX_DATA as in real_data.py.
"""

import ast
import json
import os
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from ipykernel.kernelspec import write_kernel_spec
from nbclient import NotebookClient
from real_data import DATA, needs_mnist

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BADGE = "https://colab.research.google.com/github/dpm-jax/dpm_jax/blob/main/notebooks/"
LARGEST = 700_000  # bytes; GitHub does not show much larger ones
ABSOLUTE = r"(?<![\w.:/])/(?:home|root|tmp|work|usr|opt|var|mnt|Users|content)/|\b[A-Z]:\\\w"

# What makes a notebook small enough for a test.
SMALLER = {
    "01_swiss_roll": {
        "train=200_000, heldout=50_000": "train=20_000, heldout=2_000",
        "TrainConfig(steps=4000)": "TrainConfig(steps=400)",
        "data.heldout[:2000], 64": "data.heldout[:100], 64",
    },
    "02_heartbeat": {
        "train=100_000, heldout=2_000": "train=2_000, heldout=100",
        "TrainConfig(steps=10_000,": "TrainConfig(steps=300,",
        "data.heldout[:128], 64": "data.heldout[:8], 64",
        "states(process, 2000,": "states(process, 100,",
    },
    "03_mnist": {
        "T, first_noise = 1000,": "T, first_noise = 40,",
        "keep = (0, 200, 400, 600, 800, T)": "keep = (0, 8, 16, 24, 32, T)",
        "heldout=500, dequantise": "heldout=64, dequantise",
        "steps=300, batch_size=128, times_per_batch=16": "steps=30, batch_size=32, "
        "times_per_batch=8",
        "dense=(512, 512), upper=(64, 64)": "dense=(32,), upper=(16,)",
    },
    "04_ddpm": {
        "train=100_000, heldout=2_000": "train=5_000, heldout=100",
        "data.heldout[:1000], 100": "data.heldout[:60], 100",
        "few = points[:200]": "few = points[:10]",
        "times=16, chunk=50": "times=4, chunk=32",
        '"steps": 1500': '"steps": 100',
        "seed=0, heldout=200": "seed=0, heldout=32",
        "learned(1000, first_noise": "learned(40, first_noise",
        "dense=(256, 256)": "dense=(32,)",
        "upper=(48, 48)": "upper=(16,)",
        "steps=250, batch_size=128, times_per_batch=16": "steps=30, batch_size=32, "
        "times_per_batch=8",
    },
    "05_laboratory": {},
    "06_posteriors": {
        '"smc": 20, "replace": 160': '"smc": 10, "replace": 10',
        "simulations=40, particles=32": "simulations=10, particles=20",
        '"runs": 20, "sweeps": 20': '"runs": 4, "sweeps": 4',
        '"simulations": 150, "draws": 4': '"simulations": 20, "draws": 4',
        "schedule.fixed(200)": "schedule.fixed(40)",
    },
}

# Cells that print the same at any size.
SIZELESS = {
    "01_swiss_roll": ("data", "last-step"),
    "02_heartbeat": ("data",),
    "03_mnist": (),  # its data cell says how many images are held out
    "04_ddpm": ("level",),
    "05_laboratory": (),  # with widgets, what it prints is in them
    "06_posteriors": (),  # what its last cell shows depends on a run
}

# What to read from the kernel at the end, by expression; the first from those that train.
TRAINED = {
    "K": "K.mean",
    "K_se": "K.se",
    "K_eq14": "K_eq14.mean",
    "L_null": "L_null",
    "L_star": "L_star",
    "network": "network.mean",
    "ledger": "sum(ledger.values())",
    "weighted": "[float(w.mean()) for w in weighted.values()]",
    "lacks": "list(lacks)",
}
OWN = {
    "01_swiss_roll": {
        "path_error": "float(error)",
        "slopes": "[float(slope), float(difference / (2 * h))]",
        "ceiling": "ceiling",
        "fixed": "compared[roll_measure.FIXED][1]",
        "best": "best",
    },
    "02_heartbeat": {
        "last_step": "last_step",
        "best": "[K_best.mean, K_best.se]",
        "exact": "list(estimate(weighted_exact[N]))",
        "log_p_exact": "log_p_exact",
        "below_upper": "[float(below_upper[-100:].mean()), float(below_upper.min())]",
    },
    "03_mnist": {
        "bits": "[bits.mean, bits.se]",
        "by_terms": "(measured.terms['prior_kl'] + measured.step_kl.sum()"
        " - measured.terms['last_step']) / dimensions",
        "errors": "{name: of.mean for name, of in error.items()}",
        "finite": "bool(np.isfinite(completed).all() and np.isfinite(samples[0]).all())",
    },
    "04_ddpm": {
        "roll": "[float(roll_terms[name][0][-1]) for name in exact_rows]",
        "parts": "[[float(part) for part in parts] for parts, _ in image_terms.values()]",
        "bound": "[float(trained[f'trained on {n}'][1].K.mean()) for n in by_objective]",
        "certain": "[list(map(float, certain[s])) for s in (1200**-0.5, 0.15)]",
    },
    "05_laboratory": {
        "widgets": "find_spec('ipywidgets') is not None",
    },
    "06_posteriors": {
        "evidence": "[*found['smc'].log_evidence, exact.log_evidence]",
        "gap": "list(both.gap)",
        "ranked": "[int(counted.counts.sum()) for counted in ranked.values()]",
    },
}


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """The name of a kernel of this interpreter, which imports this checkout."""
    write_kernel_spec(tmp_path / "kernels" / "checkout")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))  # nobody's startup files
    path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, path)))
    return "checkout"


def executed(path, kernel, facts):
    """A smaller notebook, run, and its facts after its last cell; a cell that fails raises."""
    notebook, committed = (nbformat.read(path, as_version=4) for _ in range(2))
    for cell in code_cells(notebook):
        for whole, less in SMALLER[path.stem].items():
            cell.source = cell.source.replace(whole, less)
    named = ", ".join(f"{name!r}: {code}" for name, code in facts.items())
    source = f"import json\nprint(json.dumps({{{named}}}))"
    notebook.cells.append(nbformat.v4.new_code_cell(source))
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(notebook, kernel_name=kernel, timeout=600, resources=resources)
    client.execute()
    for name in SIZELESS[path.stem]:
        assert printed(notebook, name) == printed(committed, name), name
    return notebook, json.loads(notebook.cells[-1].outputs[0]["text"])


def run(path, kernel):
    """The facts of a smaller notebook that trains."""
    _, found = executed(path, kernel, TRAINED | OWN[path.stem])

    assert found["L_null"] < found["K"] < found["L_star"]
    assert abs(found["K"] - found["K_eq14"]) < 0.05
    assert abs(found["L_star"] - found["ledger"] - found["K"]) < 5 * found["K_se"]
    assert found["weighted"] == sorted(found["weighted"])
    assert found["lacks"][0] > -5 * found["lacks"][1]
    assert found["network"] > 0
    return found


@pytest.mark.slow
def test_swiss_roll_runs(kernel):
    found = run(ROOT / "notebooks" / "01_swiss_roll.ipynb", kernel)
    assert found["path_error"] < 0.01
    assert found["slopes"][0] == pytest.approx(found["slopes"][1], rel=0.02)
    assert found["fixed"] < found["ceiling"] < found["best"] + 1e-3


@pytest.mark.slow
def test_heartbeat_runs(kernel):
    found = run(ROOT / "notebooks" / "02_heartbeat.ipynb", kernel)
    mean, se = found["best"]
    assert mean == pytest.approx(found["last_step"], abs=5 * se)
    bound, se = found["exact"]
    assert bound == pytest.approx(found["log_p_exact"], abs=5 * se)
    at_noise, lowest = found["below_upper"]
    assert abs(at_noise) < 1e-3 < -lowest


@needs_mnist
@pytest.mark.slow
def test_mnist_runs(kernel, monkeypatch):
    monkeypatch.setenv("DPM_JAX_DATA", str(DATA))
    monkeypatch.delenv("DPM_JAX_MNIST_RUN", raising=False)
    _, found = executed(ROOT / "notebooks" / "03_mnist.ipynb", kernel, OWN["03_mnist"])
    bits, se = found["bits"]
    assert found["by_terms"] == pytest.approx(bits, abs=1e-3)
    assert 0 < bits - 5 * se < bits < 8
    assert found["errors"]["posterior mean"] < 0.5 < found["errors"]["noisy"]
    assert found["finite"]


@needs_mnist
@pytest.mark.slow
def test_ddpm_runs(kernel, monkeypatch):
    monkeypatch.setenv("DPM_JAX_DATA", str(DATA))
    _, found = executed(ROOT / "notebooks" / "04_ddpm.ipynb", kernel, OWN["04_ddpm"])
    exact, *others = found["roll"]
    assert all(np.isfinite(others))
    assert exact < min(others)  # nothing is better than it
    assert all(np.isfinite(found["bound"]))
    own, *_, total = np.array(found["parts"]).T
    assert np.array(found["parts"])[:, :3].sum(1) == pytest.approx(total)
    assert own == pytest.approx(own[0])  # L_T knows nothing of the choices
    assert 0 < total[0] < 8
    (fixed, _), (_, levels) = found["certain"]
    assert (fixed, levels) == pytest.approx((0.075, 0.0035), abs=5e-4)


@pytest.mark.slow
def test_laboratory_runs(kernel):
    path = ROOT / "notebooks" / "05_laboratory.ipynb"
    notebook, found = executed(path, kernel, OWN[path.stem])
    shown = "application/vnd.jupyter.widget-view+json" if found["widgets"] else "image/png"
    cells = [cell for cell in notebook.cells if re.search(r"(?m)^show\(", cell.source)]
    assert len(cells) > 5
    lacking = [c.id for c in cells if not any(shown in o.get("data", {}) for o in c.outputs)]
    assert lacking == []
    if not found["widgets"]:
        committed = nbformat.read(path, as_version=4)
        for name in ("chain", "account", "bits"):
            assert printed(notebook, name) == printed(committed, name), name


@pytest.mark.slow
def test_posteriors_run(kernel):
    path = ROOT / "notebooks" / "06_posteriors.ipynb"
    _, found = executed(path, kernel, OWN[path.stem])
    evidence, se, truth = found["evidence"]
    assert evidence == pytest.approx(truth, abs=5 * se + 0.05)
    gap, se = found["gap"]
    assert abs(gap) < 5 * se + 0.1
    assert found["ranked"] == [20, 20]


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def printed(notebook, name):
    """What the cell of this id printed."""
    (cell,) = [cell for cell in notebook.cells if cell.id == name]
    return "".join(out["text"] for out in cell.outputs if out.output_type == "stream")


def shows(source):
    """Whether a cell prints, draws, or ends in a value."""
    last = ast.parse(re.sub(r"(?m)^(\s*)%.*$", r"\1pass", source)).body[-1]
    ends_in_value = isinstance(last, ast.Expr) and not source.rstrip().endswith(";")
    return ends_in_value or "print(" in source or "plt.subplots(" in source


def defined(source):
    definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, definitions)}


each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def test_every_notebook_is_run():
    assert {path.stem for path in NOTEBOOKS} == set(OWN)


@each
def test_every_number_that_a_test_makes_smaller_is_there_once(path):
    code = "\n".join(cell.source for cell in code_cells(nbformat.read(path, as_version=4)))
    assert {whole: code.count(whole) for whole in SMALLER[path.stem]} == dict.fromkeys(
        SMALLER[path.stem], 1
    )


@each
def test_is_small_enough_and_keeps_its_names(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < LARGEST
    assert notebook.metadata.kernelspec.name == "python3"
    random = [cell.id for cell in notebook.cells if re.fullmatch("[0-9a-f]{8}", cell.id)]
    assert random == []  # names stay, and make diffs readable


@each
def test_is_committed_as_run_once_from_top_to_bottom(path):
    cells = code_cells(nbformat.read(path, as_version=4))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [cell.id for cell in cells if shows(cell.source) != bool(cell.outputs)] == []
    outputs = [(cell.id, output) for cell in cells for output in cell.outputs]
    noisy = [name for name, out in outputs if out.output_type == "error" or "Traceback" in str(out)]
    assert noisy == []
    assert [name for name, output in outputs if output.get("name") == "stderr"] == []
    assert [cell.id for cell in cells if cell.metadata] == []  # when it was run, how long it took


@each
def test_every_figure_is_a_picture(path):
    for cell in code_cells(nbformat.read(path, as_version=4)):
        if "plt.subplots(" in cell.source or re.search(r"(?m)^\w*figures\.[a-z_]+\(", cell.source):
            assert any("image/png" in output.get("data", {}) for output in cell.outputs), cell.id


@each
def test_holds_no_path_of_the_machine_that_ran_it(path):
    notebook = nbformat.read(path, as_version=4)
    for cell in code_cells(notebook):
        for output in cell.outputs:
            output.get("data", {}).pop("image/png", None)
    assert re.findall(ABSOLUTE, nbformat.writes(notebook)) == []


def test_the_committed_results_are_those_of_good_models():
    roll, heartbeat = (
        nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
        for name in ("01_swiss_roll", "02_heartbeat")
    )
    losses = [
        float(re.search(r"network's loss: (-?[\d.]+)", printed(notebook, name))[1])
        for notebook, name in ((roll, "exact"), (heartbeat, "network"))
    ]
    assert 0 < losses[0] < 0.03
    assert 0 < losses[1] < 0.02
    share = re.search(r"exact heartbeats: ([\d.]+)%", printed(heartbeat, "phases"))
    assert float(share[1]) > 97


def test_the_committed_posteriors_are_right_and_replacing_is_not():
    notebook = nbformat.read(ROOT / "notebooks" / "06_posteriors.ipynb", as_version=4)
    arms = re.findall(r"(\w+) +worst arm off by ([\d.]+)", printed(notebook, "arms"))
    phase = re.findall(r"(\w+) +gives the certain phase ([\d.]+)", printed(notebook, "beat"))
    p_value = re.findall(r"(\w+) +p-value ([\d.e-]+)", printed(notebook, "ranks"))
    off, share, p = ({way: float(number) for way, number in of} for of in (arms, phase, p_value))
    assert off["smc"] < 4 < 5 < off["replace"]
    assert share["replace"] < 0.6 < 0.99 < min(share["smc"], share["gibbs"])
    assert p["replace"] < 1e-6 < 1e-2 < p["smc"]
    gap = re.search(r"gap (-?[\d.]+) ± ([\d.]+)", printed(notebook, "sandwich"))
    assert abs(float(gap[1])) < 0.1


def test_the_committed_account_of_the_laboratory_adds_up():
    path = ROOT / "notebooks" / "05_laboratory.ipynb"
    text = printed(nbformat.read(path, as_version=4), "account")
    by_steps, by_paper = (
        [float(n) for n in re.findall(r"-?\d+\.\d{4}", part)] for part in text.split("\n\n")
    )
    data, end, steps, K, log_p = by_steps
    assert pytest.approx(data + end + steps, abs=2e-4) == K
    assert pytest.approx(sum(by_paper[:3]), abs=2e-4) == K
    assert K < log_p < data


@each
def test_badge_opens_this_notebook(path):
    links = re.findall(r"\]\((https://colab\.research\.google\.com/github/\S+)\)", path.read_text())
    assert links == [BADGE + path.name]


@each
def test_links_to_files_work(path):
    links = re.findall(r"\]\((?!https?://)([^)\s]+)\)", prose(nbformat.read(path, as_version=4)))
    assert [link for link in links if not (path.parent / link).is_file()] == []


@each
def test_defines_nothing_that_the_package_has(path):
    sources = (ROOT / "dpm_jax").rglob("*.py")
    package = set().union(*(defined(source.read_text()) for source in sources))
    cells = code_cells(nbformat.read(path, as_version=4))
    code = "\n".join(re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", cell.source) for cell in cells)
    assert defined(code) & package == set()


@each
def test_prose_holds_no_measured_numbers(path):
    text = prose(nbformat.read(path, as_version=4))
    assert re.findall(r"\d\.\d{3,}", text.replace("1503.03585", "")) == []
