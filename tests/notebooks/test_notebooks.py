"""The notebooks run top to bottom, are committed clean, and define nothing that the package has."""

import ast
import json
import os
import re
from pathlib import Path

import nbformat
import pytest
from ipykernel.kernelspec import write_kernel_spec
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BADGE = "https://colab.research.google.com/github/dpm-jax/dpm_jax/blob/main/notebooks/"

# What to read from the kernel at the end, by expression.
COMMON = {
    "K": "K.mean",
    "K_se": "K.se",
    "K_eq14": "K_eq14.mean",
    "L_null": "L_null",
    "L_star": "L_star",
    "network": "network.mean",
    "ledger": "sum(ledger.values())",
    "weighted": "[float(w.mean()) for w in weighted.values()]",
    "lacks": "result['log_q_minus_iw_bits']",
    "lacks_se": "result['log_q_minus_iw_bits_se']",
}
OWN = {
    "01_swiss_roll": {
        "short": "[s.mean for s in short]",
        "path_error": "float(error)",
        "slopes": "[float(slope), float(difference / (2 * h))]",
        "ceiling": "ceiling",
        "fixed": "compared[roll_figures.FIXED][1]",
        "best": "best",
    },
    "02_heartbeat": {
        "exact_share": "float(counts.sum() / total)",
        "last_step": "last_step",
        "best": "K_best.mean",
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


def run(path, kernel):
    """The facts of a notebook, after its last cell; a cell that fails raises."""
    notebook = nbformat.read(path, as_version=4)
    facts = ", ".join(f"{name!r}: {code}" for name, code in (COMMON | OWN[path.stem]).items())
    source = f"import json\nprint(json.dumps({{{facts}}}))"
    notebook.cells.append(nbformat.v4.new_code_cell(source))
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(notebook, kernel_name=kernel, timeout=600, resources=resources).execute()
    found = json.loads(notebook.cells[-1].outputs[0]["text"])

    assert found["L_null"] < found["K"] < found["L_star"]
    assert abs(found["K"] - found["K_eq14"]) < 0.02
    assert abs(found["L_star"] - found["ledger"] - found["K"]) < 5 * found["K_se"]
    assert found["weighted"][0] < found["weighted"][-1]
    assert -5 * found["lacks_se"] < found["lacks"] < 0.05
    assert found["network"] > 0
    return found


@pytest.mark.slow
def test_swiss_roll_runs(kernel):
    found = run(ROOT / "notebooks" / "01_swiss_roll.ipynb", kernel)
    assert found["path_error"] < 0.01
    assert found["slopes"][0] == pytest.approx(found["slopes"][1], rel=0.02)
    assert found["short"] == sorted(found["short"], reverse=True)
    assert found["fixed"] < found["ceiling"] < found["best"] + 1e-3
    assert found["network"] < 0.06
    assert found["best"] - found["ceiling"] < 0.04


@pytest.mark.slow
def test_heartbeat_runs(kernel):
    found = run(ROOT / "notebooks" / "02_heartbeat.ipynb", kernel)
    assert found["best"] == pytest.approx(found["last_step"], abs=5 * found["K_se"])
    assert found["network"] < 0.03
    assert found["exact_share"] > 0.97


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def defined(source):
    definitions = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return {node.name for node in ast.walk(ast.parse(source)) if isinstance(node, definitions)}


def test_every_notebook_is_run():
    assert {path.stem for path in NOTEBOOKS} == set(OWN)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < 60_000
    assert notebook.metadata.kernelspec.name == "python3"
    for cell in code_cells(notebook):
        assert cell.outputs == [], cell.id
        assert cell.execution_count is None, cell.id
    random = [cell.id for cell in notebook.cells if re.fullmatch("[0-9a-f]{8}", cell.id)]
    assert random == []  # names stay, and make diffs readable


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_badge_opens_this_notebook(path):
    links = re.findall(r"\]\((https://colab\.research\.google\.com/github/\S+)\)", path.read_text())
    assert links == [BADGE + path.name]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_to_files_work(path):
    links = re.findall(r"\]\((?!https?://)([^)\s]+)\)", prose(nbformat.read(path, as_version=4)))
    assert [link for link in links if not (path.parent / link).is_file()] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_defines_nothing_that_the_package_has(path):
    sources = (ROOT / "dpm_jax").rglob("*.py")
    package = set().union(*(defined(source.read_text()) for source in sources))
    cells = code_cells(nbformat.read(path, as_version=4))
    code = "\n".join(re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", cell.source) for cell in cells)
    assert defined(code) & package == set()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_prose_holds_no_measured_numbers(path):
    text = prose(nbformat.read(path, as_version=4))
    assert re.findall(r"\d\.\d{3,}", text.replace("1503.03585", "")) == []
