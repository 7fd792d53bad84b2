"""What the interactive course says, in numbers: those of docs/errata.md, each by a function.

``python -m dpm_jax.laboratory.claims`` prints them all. The laws are random ones of a seed and
normals, on 513 points of ±8; information is in bits.
"""

import math

import numpy as np
from jaxtyping import Float

from dpm_jax.laboratory import chain, deconvolution, law, markov
from dpm_jax.laboratory.distances import js, kl, tv
from dpm_jax.laboratory.gaussian import moments
from dpm_jax.laboratory.losses import kl_given_other
from dpm_jax.laboratory.space import Space, line
from dpm_jax.laboratory.transform import likelihood, posterior, scaled, transform

POINTS = 513
SEEDS = range(20)
"""Of the random laws that a claim about all laws is tried on."""
ALPHAS = np.array([0.01, 0.1, 0.3, 0.5, 0.7, 0.9])

Numbers = dict[str, float]


def _std(space: Space, q: Float[np.ndarray, " n"]) -> float:
    return math.sqrt(float(moments(space.states, q[:, None])[1][0]))


def narrower() -> Numbers:
    """Width of √α X over that of X: the smaller α, the narrower."""
    space = line(POINTS)
    q = law.random(space, 0)
    return {f"{a}": _std(space, scaled(space, q, a)) / _std(space, q) for a in (0.9, 0.5, 0.1)}


def gap() -> Numbers:
    """q(x | z) at z = 0.1 inside a gap of q from 0 to 0.5, α = 0.998: its mass, and its mean."""
    space = line(POINTS)
    x = space.states
    q = law.law(space, np.where((x > 0) & (x < 0.5), 0.0, law.random(space, 1)))
    p = posterior(space, q, 0.998)[:, int(np.argmin(np.abs(x - 0.1)))]
    return {"mass": float(p.sum()), "mean": float(x @ p)}


def ddpm() -> Numbers:
    """DDPM's 1,000 steps as one: √ᾱ, the variance of what is added, and its standard deviation."""
    bar = float(chain.alpha_bar(chain.ddpm_rates())[-1])
    return {
        "ᾱ": bar,
        "√ᾱ": math.sqrt(bar),
        "1-ᾱ": 1 - bar,
        "√(1-ᾱ)": math.sqrt(1 - bar),
        "√((1-ᾱ)/ᾱ)": math.sqrt((1 - bar) / bar),
    }


def three_for_one() -> Numbers:
    """Total variation of three transforms of 0.95 from one of 0.857375, the most of 20 laws: 0."""
    space = line(POINTS)
    three, one = np.full(3, 0.95), 0.857375
    laws = [law.random(space, seed) for seed in SEEDS]
    apart = [tv(chain.forward(space, q, three)[-1], transform(space, q, one)) for q in laws]
    return {"most, to 1e-12": round(float(max(apart)), 12)}


def any_end() -> Numbers:
    """Mean JS of 20 ends, all noise, from z_7, and from q once restored: steps of 0.25 and 0.95."""
    space = line(POINTS)
    q, found = law.random(space, 0), {}
    for alpha in (0.25, 0.95):
        rates = np.full(7, alpha)
        back, end = chain.composed(space, q, rates), chain.forward(space, q, rates)[-1]
        noise = [chain.disturbed(space, end, law.random(space, 100 + s), 1.0) for s in SEEDS]
        found[f"ᾱ at {alpha}"] = alpha**7
        found[f"end at {alpha}"] = float(np.mean([js(z, end) for z in noise]))
        found[f"restored at {alpha}"] = float(np.mean([js(back @ z, q) for z in noise]))
    return found


def condition() -> Numbers:
    """KL(q(z) ‖ p(z)), and its mean given x, for p = N(0, 1) and α = 0.5 (A.6, A.16)."""
    space = line(POINTS)
    plain, given = kl_given_other(law.random(space, 0), likelihood(space, 0.5), space.prior)
    return {"plain": plain, "given x": given}


def scores() -> Numbers:
    """What minimises the right side of A.26, less what does the left, at its largest.

    With the gradients of the densities, as it is printed, and of their logarithms.
    """
    space = line(POINTS)
    q, alpha = law.normal(space), 0.5
    given = likelihood(space, alpha) / space.cell
    z, x = space.states[:, None], space.states
    score = (math.sqrt(alpha) * x - z) / (1 - alpha)  # of q(z | x)
    q_z = given @ q
    belief = given * q / q_z[:, None]  # q(x | z), by which the right side's minimum is a mean
    middle = np.abs(space.states) < 4
    density = ((score * given) * belief).sum(1) - ((score * given) @ q)
    log = (score * belief).sum(1) - ((score * given) @ q) / q_z
    return {
        "densities": float(np.abs(density[middle]).max()),
        "logarithms, to 1e-12": round(float(np.abs(log[middle]).max()), 12),
    }


def closer() -> Numbers:
    """Total variation of two inputs before a step of α = 0.9 and 0.3, and after."""
    space = line(POINTS)
    q, a, b = (law.random(space, seed) for seed in (0, 1, 2))
    after = {f"{x}": float(tv(*(posterior(space, q, x) @ p for p in (a, b)))) for x in (0.9, 0.3)}
    return {"before": float(tv(a, b))} | after


def outside() -> Numbers:
    """By what a step brings N(2.2, 0.1²) and N(2.8, 0.1²) closer, where q ends at 1.5."""
    space = line(POINTS)
    q = law.random(space, 0)
    a, b = law.normal(space, 2.2, 0.1), law.normal(space, 2.8, 0.1)

    def ratio(alpha: float) -> float:
        before, after = markov.contraction(posterior(space, q, alpha), a, b)
        return float(after.tv / before.tv)

    return {f"{alpha}": ratio(alpha) for alpha in (0.995, 0.95, 0.5)}


def second_eigenvalues() -> Numbers:
    """λ₂ for q = N(0, 1), which is √α, and for the random law of seed 0."""
    space = line(POINTS)
    laws = {"normal": space.prior, "random": law.random(space, 0)}
    return {
        f"{name} {alpha:g}": markov.second_eigenvalue(posterior(space, q, float(alpha)))
        for name, q in laws.items()
        for alpha in ALPHAS
    }


def straight_line() -> Numbers:
    """λ₂ of 20 laws on α = 0.05 to 0.95: the worst error of the best straight line; λ₂/(√α Var)."""
    space = line(POINTS)
    alphas, errors, ratios = np.linspace(0.05, 0.95, 10), [], []
    for seed in SEEDS:
        q = law.random(space, seed)
        values = [markov.second_eigenvalue(posterior(space, q, float(a))) for a in alphas]
        line_of = np.polynomial.Polynomial.fit(alphas, values, 1)
        errors.append(np.abs(line_of(alphas) - values).max())
        small = markov.second_eigenvalue(posterior(space, q, 1e-4))
        ratios.append(small / (0.01 * _std(space, q) ** 2))
    return {
        "least error": float(min(errors)),
        "most error": float(max(errors)),
        "least ratio": float(min(ratios)),
        "most ratio": float(max(ratios)),
    }


def stationary_law() -> Numbers:
    """JS of the stationary law from q, the mean of 20 laws; of how many it falls with α."""
    space = line(POINTS)
    laws = [law.random(space, seed) for seed in SEEDS]
    apart = np.array([[js(markov.stationary(space, q, float(a)), q) for a in ALPHAS] for q in laws])
    found = {f"{a:g}": float(mean) for a, mean in zip(ALPHAS, apart.mean(0), strict=True)}
    return found | {"falls for": float((np.diff(apart) > 0).all(1).sum())}


def pairs() -> Numbers:
    """λ₂ for N(0, 1) at α = 0.5, and L1 distances of q(x | z) for two z, near and far apart."""
    space = line(POINTS)
    p, at = posterior(space, space.prior, 0.5), POINTS // 2
    return {
        "λ₂": markov.second_eigenvalue(p),
        "near": 2 * float(tv(p[:, at], p[:, at + 1])),
        "far": 2 * float(tv(p[:, at - 128], p[:, at + 128])),
    }


def across() -> Numbers:
    """1 - λ₂ of a law of two parts with a gap of so many σ between them, σ² = (1-α)/α."""
    space = line(POINTS)
    x = np.abs(space.states)
    q = law.law(space, np.where((x > 0.5) & (x < 1.0), 1.0, 0.0))
    found = {}
    for widths in (3.0, 4.0, 5.0):
        sigma = 2 * float(x[q > 0].min()) / widths
        p = posterior(space, q, 1 / (1 + sigma**2))
        found[f"{widths:g}σ"] = 1 - markov.second_eigenvalue(p)
    return found


def radius() -> Numbers:
    """3 √(1-α)/(1-√α), the radius of D.4."""
    return {f"{a}": 3 * math.sqrt(1 - a) / (1 - math.sqrt(a)) for a in (0.1, 0.5, 0.9)}


def turned_back() -> Numbers:
    """Deconvolution of N(0, 1) for z_T: KL of two data laws' z_T, and what it multiplies by.

    Seven steps of 0.7; the amplification at the frequency of waves as long as one unit.
    """
    space = line(POINTS)
    bar = 0.7**7
    ends = [transform(space, law.random(space, seed), bar) for seed in (0, 1)]
    wave = np.array([2 * math.pi])
    return {
        "first": float(kl(ends[0], space.prior)),
        "second": float(kl(ends[1], space.prior)),
        "amplified": float(deconvolution.amplification(wave, bar)[0]),
    }


CLAIMS = (
    narrower,
    gap,
    ddpm,
    three_for_one,
    any_end,
    condition,
    scores,
    closer,
    outside,
    second_eigenvalues,
    straight_line,
    stationary_law,
    pairs,
    across,
    radius,
    turned_back,
)


def shown(number: float) -> str:
    """As docs/errata.md has it."""
    return f"{number:.5g}"


def main() -> None:
    """Print every claim's numbers, one claim a line."""
    for claim in CLAIMS:
        numbers = ", ".join(f"{name}: {shown(value)}" for name, value in claim().items())
        print(f"{claim.__name__}: {numbers}")


if __name__ == "__main__":
    main()
