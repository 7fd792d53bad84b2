"""What a trained model is measured to be, written into its run's folder; nobody else writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dpm_jax import hosts
from dpm_jax.errors import Unmeasured
from dpm_jax.training.rescue import write_or_rescue

if TYPE_CHECKING:
    from dpm_jax.experiments.base import Experiment, RunConfig
    from dpm_jax.experiments.measurement import Measurement
    from dpm_jax.experiments.saved_run import Effort
    from dpm_jax.process import Process
    from dpm_jax.training.folder import RunFolder


def measure(
    config: RunConfig,
    settings: dict[str, Any],
    experiment: Experiment,
    folder: RunFolder,
    process: Process,
    effort: Effort,
    rescue: Callable[[RunFolder], None] | None = None,
) -> None:
    """Measure, write, and print the summary.

    ``rescue`` saves what else there is into another folder, should the run's be gone.

    Raises:
        Unmeasured: if parts failed, once all others are written.
    """
    from dpm_jax.evaluation import report
    from dpm_jax.sampling import skip

    process = skip.fewer(process, config.sample_steps)
    measured = experiment.measure(process)
    result = {
        "experiment": settings["experiment"],
        "variant": experiment.variant,
        "seed": config.seed,
        "batch_size": config.batch_size,
        "preset": config.preset,
        "sample_steps": process.schedule.steps,
        **measured.numbers,
        **effort._asdict(),
        **report.machine(),
    }

    def write(folder: RunFolder) -> None:
        if hosts.first():
            _write(folder, experiment, measured, result, tensorboard=config.tensorboard)

    def write_all(another: RunFolder) -> None:
        if rescue is not None:
            rescue(another)
        write(another)

    write_or_rescue(folder, write, write_all, "all that it measured is in {}")
    print("\n".join(experiment.summary(result)))
    print(f"\nresult.json, samples.npz and figures are in {folder.path}")
    if measured.failed:
        parts = "; ".join(f"{part}: {why}" for part, why in measured.failed.items())
        raise Unmeasured(f"parts of the measurement failed, all others are there ({parts})")


def _write(
    folder: RunFolder,
    experiment: Experiment,
    measured: Measurement,
    result: dict[str, Any],
    *,
    tensorboard: bool,
) -> None:
    """All that a measurement leaves; ``result.json`` last, so that where it is, all is."""
    from dpm_jax.evaluation import figures
    from dpm_jax.training import metrics
    from dpm_jax.training.folder import write_samples, write_whole

    # None where a trained run is evaluated.
    if records := metrics.read(folder.metrics, "K_bits", "gradient_norm"):
        limit, unit = result.get("true_limit_bits"), experiment.unit
        measured.draw("training", lambda: figures.training(records, limit=limit, unit=unit))
    # A figure that cannot be rendered is one more part that failed.
    rendered = {
        name: measured.value(f"figure {name}", figures.pixels, figure)
        for name, figure in measured.figures.items()
    }
    drawn = {name: picture for name, picture in rendered.items() if picture is not None}
    for name, picture in drawn.items():
        figures.save_pixels(picture, folder.figures / f"{name}.png")
    if tensorboard:
        metrics.add_pictures(folder.tensorboard, drawn, step=result["steps"])
    samples = measured.value("samples", experiment.units.to_data, measured.samples)
    if samples is not None:
        write_samples(folder.samples, samples)
    if measured.failed:
        result["failed"] = measured.failed
    write_whole(folder.result, json.dumps(result, indent=2) + "\n")
