"""What the adapters on JAX share: double precision, compiling ahead of time, the compile cache."""

import os
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Any

import numpy as np

from adapters._interface import Array, Device, DeviceMemory, NotAvailable

# Names the directory that keeps compiled programs from one process to the next.
CACHE_VARIABLE = "STIFFGRAD_COMPILE_CACHE"
# The event that JAX reports when it finds a program in its persistent cache.
CACHE_HIT = "/jax/compilation_cache/cache_hits"


def prepare(device: Device = "cpu") -> None:
    """Set this process's JAX up: double precision, the compile cache if asked for, one thread.

    By default JAX hands every program to a thread of its own and waits for it. Waking that on an
    idle processor takes up to 0.15 ms a call, more than a whole gradient takes; here every method
    on JAX is spared it.

    A process is for one device. Raises NotAvailable where JAX finds none of the kind, or was set up
    for another before.
    """
    _prepare(device)


# once a process, however it was called
@cache
def _prepare(device: Device) -> None:
    import jax

    if device == "cpu":
        jax.config.update("jax_platforms", "cpu")
    _check(device)
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    use_compile_cache(os.environ.get(CACHE_VARIABLE))


def _check(device: Device) -> None:
    import jax

    try:
        jax.devices(device)
    except RuntimeError as error:
        raise NotAvailable(
            f"JAX {jax.__version__} sees no {device.upper()} ({error}); for an NVIDIA GPU: "
            "pip install 'jax[cuda12]'"
        ) from error
    if jax.default_backend() != device:
        raise NotAvailable(
            f"JAX runs on the {jax.default_backend().upper()} in this process; start another for "
            f"the {device.upper()}"
        )


def use_compile_cache(directory: str | None) -> None:
    """Keep every compiled program in `directory`; None or "" leaves JAX's setting as it is.

    JAX never keeps a program that can call back into Python.
    """
    if not directory:
        return
    import jax

    jax.config.update("jax_compilation_cache_dir", directory)
    # JAX's own thresholds leave out programs that compile in less than a second.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@lru_cache(maxsize=1)
def _cache_hits() -> list[str]:
    """Grows by one whenever this process takes a program from the persistent cache."""
    import jax.monitoring

    hits: list[str] = []

    def notice(event: str, **_: Any) -> None:
        if event == CACHE_HIT:
            hits.append(event)

    jax.monitoring.register_event_listener(notice)
    return hits


def on_device(*values: Any) -> tuple[Any, ...]:
    """Float64 arrays on JAX's default device, ready: no later call waits for the transfer."""
    import jax

    return jax.block_until_ready(
        tuple(jax.device_put(np.asarray(value, dtype=np.float64)) for value in values)
    )


def host(value: Any) -> Array:
    """A NumPy float64 copy of a device array."""
    return np.array(value, dtype=np.float64)


def mapped(function: Callable[..., Any], batched: bool) -> Callable[..., Any]:
    """`function` of y0, p and more, over the rows of y0 and p if `batched`; itself if not."""
    if not batched:
        return function

    def over_members(y0: Any, p: Any, *common: Any) -> Any:
        import jax

        return jax.vmap(lambda y0, p: function(y0, p, *common))(y0, p)

    return over_members


class Program:
    """A function of float64 arrays, compiled ahead of time once for every set of shapes.

    `cached` says of the last compilation whether it came from the persistent cache; None where
    there was none or no cache is in use.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._executables: dict[tuple[tuple[int, ...], ...], Any] = {}
        self.cached: bool | None = None

    def executable(self, *args: Any) -> Any:
        """The program compiled for arguments of these shapes; values do not matter."""
        shapes = tuple(np.shape(arg) for arg in args)
        if shapes not in self._executables:
            self._executables[shapes] = self._compile(args)
        return self._executables[shapes]

    def _compile(self, args: tuple[Any, ...]) -> Any:
        import jax

        config: Any = jax.config
        lowered = jax.jit(self._function).lower(*args)
        hits = len(_cache_hits())
        executable = lowered.compile()
        if config.jax_compilation_cache_dir:
            self.cached = len(_cache_hits()) > hits
        return executable

    def device_memory(self, *args: Any) -> DeviceMemory:
        """What a call on arguments of these shapes takes: XLA lays all of it out beforehand."""
        laid_out = self.executable(*args).memory_analysis()
        results = laid_out.output_size_in_bytes - laid_out.alias_size_in_bytes
        return DeviceMemory(
            int(laid_out.temp_size_in_bytes + results),
            "XLA's buffer assignment: temporaries and results",
        )

    def bind(self, *args: Any) -> Callable[[], Any]:
        """A call on these arguments, compiled now; it waits for the device."""
        import jax

        executable = self.executable(*args)
        return lambda: jax.block_until_ready(executable(*args))
