"""Methods by name, whether or not their framework is installed."""

import pkgutil
from functools import cache, lru_cache
from importlib import import_module, metadata
from types import MappingProxyType

from packaging.requirements import Requirement

import adapters
from adapters._interface import Device, Method, Solver, Unsupported
from problems import Problem, nearest


@lru_cache(maxsize=1)
def methods() -> MappingProxyType[str, Method]:
    """All declared methods by name, in the order of declaration, files in alphabetical order."""
    found: dict[str, Method] = {}
    for module in pkgutil.iter_modules(adapters.__path__):
        if module.name.startswith("_"):
            continue
        for method in import_module(f"adapters.{module.name}").METHODS:
            if method.name in found:
                raise ValueError(f"adapters/{module.name}.py: {method.name} is declared twice")
            found[method.name] = method
    return MappingProxyType(found)


def get_method(name: str) -> Method:
    """The method called `name`; raises UnknownNameError with the nearest known names."""
    try:
        return methods()[name]
    except KeyError:
        raise nearest("method", name, methods()) from None


@cache
def _version(name: str) -> str:
    """Looked up once: methods share their requirements, and a look-up reads files."""
    return metadata.version(name)


def available(method: Method) -> tuple[bool, str]:
    """Whether everything the method requires is installed, and if not, what is missing and why."""
    for text in method.requires:
        requirement = Requirement(text)
        try:
            version = _version(requirement.name)
        except metadata.PackageNotFoundError:
            return False, (
                f"{requirement.name} is not installed; pip install 'stiffgrad[{method.framework}]'"
            )
        if not requirement.specifier.contains(version, prereleases=True):
            return False, f"needs {text}, installed is {version}"
    return True, "installed"


def load(problem: Problem, method: Method, device: Device = "cpu") -> Solver:
    """The solver of a problem under a method; imports the framework, and sets it up for `device`.

    Raises Unsupported where the method is not installed, cannot run on the device or cannot treat
    the problem; NotAvailable where the framework finds no such device.
    """
    usable, reason = available(method)
    if not usable:
        raise Unsupported(f"{method.name}: {reason}")
    if device not in method.devices:
        places = " and ".join(place.upper() for place in method.devices)
        raise Unsupported(f"{method.framework}/{method.integrator} runs on the {places} only")
    if problem.batch is not None and not method.batched:
        frameworks = sorted({other.framework for other in methods().values() if other.batched})
        raise Unsupported(
            f"{method.framework}/{method.integrator} solves one problem at a time, not the batch "
            f"{problem.name}; methods of {', '.join(frameworks)} do"
        )
    if problem.mass is not None and not method.mass_matrix:
        able = ", ".join(other.name for other in methods().values() if other.mass_matrix)
        raise Unsupported(
            f"{problem.name} has a mass matrix, which {method.name} does not take; methods that "
            f"do: {able or 'none'}"
        )
    build = import_module(f"adapters.{method.framework.replace('-', '_')}").build
    return build(problem, method) if method.devices == ("cpu",) else build(problem, method, device)
