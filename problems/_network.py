"""Mass-action reaction networks as data; rhs and Jacobians follow from the same arrays."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from problems._losses import beside, like

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Reaction:
    """One elementary reaction: what it consumes and produces (stoichiometry), its rate constant.

    `rate` is in the network's own units: 1/time for one reactant, 1/(concentration time) for two.
    """

    rate: float
    reactants: Mapping[str, int]
    products: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class MassAction:
    """dy/dt = S r(y, k), r_j = k_j times the product of the reactants of reaction j.

    `species`: the n state names; `reactions`: the m reactions, in the order of the parameters.
    """

    species: tuple[str, ...]
    reactions: tuple[Reaction, ...]

    @property
    def rates(self) -> tuple[float, ...]:
        """The m rate constants."""
        return tuple(reaction.rate for reaction in self.reactions)

    @cached_property
    def stoichiometry(self) -> Array:
        """S, shape (n, m): molecules of species i made by reaction j."""
        matrix = np.zeros((len(self.species), len(self.reactions)))
        for j, reaction in enumerate(self.reactions):
            for name, count in reaction.reactants.items():
                matrix[self.species.index(name), j] -= count
            for name, count in reaction.products.items():
                matrix[self.species.index(name), j] += count
        return matrix

    @cached_property
    def factors(self) -> NDArray[np.int64]:
        """Reactants of each reaction, shape (order, m): indices of species; n is the factor 1."""
        lists = [
            [self.species.index(name) for name, count in r.reactants.items() for _ in range(count)]
            for r in self.reactions
        ]
        order = max(map(len, lists))
        one = len(self.species)
        return np.array([row + [one] * (order - len(row)) for row in lists], dtype=np.int64).T

    def rhs(self, t: Any, y: Any, p: Any, xp: Any) -> Any:
        """f(t, y, k), shape (n,), in the array namespace `xp`."""
        del t
        # NumPy 1 has the array API's function under its own name alone
        joined = np.concatenate if xp is np else xp.concat
        with_one = joined([y, like(np.ones(1), y, xp)])
        product = p
        for indices in self.factors:
            product = product * xp.take(with_one, beside(indices, y, xp), axis=0)
        return like(self.stoichiometry, y, xp) @ product

    @cached_property
    def _choices(self) -> list[Array]:
        """One-hot rows of `factors`, shape (m, n) each; the row of a factor 1 is zero."""
        one_hot = np.eye(len(self.species) + 1)[:, :-1]
        return [one_hot[indices] for indices in self.factors]

    def jacobian(self, t: float, y: Array, p: Array) -> Array:
        """df/dy, shape (n, n)."""
        del t
        values = np.append(y, 1.0)[self.factors]
        total = np.zeros((len(self.species), len(self.species)))
        for k, choice in enumerate(self._choices):
            rate = p
            for other, value in enumerate(values):
                if other != k:
                    rate = rate * value
            total = total + (self.stoichiometry * rate) @ choice
        return total

    def parameter_jacobian(self, t: float, y: Array, p: Array) -> Array:
        """df/dk, shape (n, m)."""
        del t, p
        values = np.append(y, 1.0)[self.factors]
        product = values[0]
        for value in values[1:]:
            product = product * value
        return self.stoichiometry * product
