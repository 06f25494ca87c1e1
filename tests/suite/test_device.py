"""Devices: what tells cases apart, what is said where there is none, and the contract on a GPU."""

import os
from dataclasses import replace

import numpy as np
import pytest

import suite.machine
from adapters import NotAvailable, Unsupported, available, get_method, load, methods
from adapters._jax_common import Program, prepare
from problems import get_problem
from suite import records
from suite.cases import BadRequest, Case, get_device, make_cases
from suite.machine import accelerator, machine
from suite.measure import Effort, judge_gradient
from suite.run import Limits, Runner, run_cases

MILD = get_problem("linear:1")
GPU = accelerator()
without_gpu = pytest.mark.skipif(GPU is not None, reason="this machine has a GPU")
with_gpu = pytest.mark.skipif(GPU is None, reason="this machine has no NVIDIA GPU")
LIMITS = Limits(300.0, 300.0, Effort(0.05, 5.0))


def need(method):
    usable, reason = available(method)
    if not usable:
        pytest.skip(reason)


def on(device, **changed):
    method = changed.get("method", "torchdiffeq/dopri5/discrete")
    return Case(changed.get("problem", "linear:1"), method, 1e-4, 1e-7, device)


def test_the_device_tells_cases_apart_everywhere():
    here, there = on("cpu"), on("gpu")
    assert here.key != there.key
    assert here.solve_key != there.solve_key
    assert here.worker != there.worker
    assert records.request_key([here], "") != records.request_key([there], "")


def test_cases_are_made_for_the_device_asked_for():
    chosen = [get_method("scipy/bdf/forward")]
    assert {case.device for case in make_cases(["rober"], chosen, [1e-4], device="gpu")} == {"gpu"}
    assert {case.device for case in make_cases(["rober"], chosen, [1e-4])} == {"cpu"}


def test_an_unknown_device_is_refused_with_the_known_ones():
    assert get_device("gpu") == "gpu"
    with pytest.raises(BadRequest, match=r"unknown device 'tpu'; known: cpu, gpu"):
        get_device("tpu")


def test_a_run_on_one_device_is_not_finished_by_records_of_another():
    with Runner(LIMITS) as runner:
        cases = [on("cpu", method="scipy/bdf/forward")]
        (done,) = run_cases(cases, [], runner, lambda record: None)
        assert list(run_cases(cases, [done], runner, lambda record: None)) == []
        elsewhere = [{**done, "device": "gpu"}]
        assert len(list(run_cases(cases, elsewhere, runner, lambda record: None))) == 1


@pytest.mark.parametrize(
    "method", [m for m in methods().values() if m.devices == ("cpu",)], ids=lambda m: m.name
)
def test_what_runs_on_the_cpu_only_says_so(method):
    need(method)
    with pytest.raises(Unsupported, match=r"runs on the CPU only"):
        load(MILD, method, "gpu")


@without_gpu
@pytest.mark.parametrize(
    "name",
    [
        "diffrax/kvaerno3/discrete-recursive",
        "jax/dopri5/backsolve",
        "stiffgrad-jax/rodas5p/discrete",
        "torchdiffeq/dopri5/discrete",
    ],
)
def test_without_a_gpu_every_framework_says_what_to_do(name):
    need(get_method(name))
    with pytest.raises(NotAvailable, match=r"sees no GPU.*(pip install|install the build)"):
        load(MILD, get_method(name), "gpu")


@without_gpu
def test_without_a_gpu_a_case_is_a_row_with_its_reason():
    case = on("gpu")
    need(get_method(case.method))
    with Runner(LIMITS) as runner:
        record = runner.measure(case)
    assert (record["status"], record["device"]) == ("not-available", "gpu")
    assert "PyTorch" in record["reason"] and "sees no GPU" in record["reason"]
    assert record["machine"]["accelerator"] is None


def test_memory_on_a_cpu_is_traced():
    with Runner(LIMITS) as runner:
        record = runner.measure(on("cpu", method="scipy/bdf/forward"))
    assert record["peak_bytes"] > 0 and record["peak_bytes_source"] == "memray"


def test_what_xla_lays_out_is_temporaries_and_results():
    jnp = pytest.importorskip("jax.numpy")
    prepare("cpu")
    x = np.ones(100)
    outer = Program(lambda x: jnp.outer(x, x)).device_memory(x)
    assert outer.peak_bytes == 8 * x.size**2 and "XLA" in outer.source
    inner = Program(lambda x: jnp.linalg.det(jnp.outer(x, x) + jnp.eye(100))).device_memory(x)
    assert 8 * x.size**2 <= inner.peak_bytes <= 50 * x.size**2


def test_elsewhere_the_librarys_programs_hold_nothing_of_the_cpus(monkeypatch):
    jax = pytest.importorskip("jax")
    prepare("cpu")
    rober = get_problem("rober:batch=2")
    # a right-hand side of its own, so that no other test is given what is traced here
    problem = replace(rober, rhs=lambda t, y, p, xp: rober.rhs(t, y, p, xp))
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    solver = load(problem, get_method("stiffgrad-jax/rodas5p/discrete"))
    arguments = problem.y0, problem.p, 1e-4, problem.default_atol(1e-4)
    case = Case(problem.name, "stiffgrad-jax/rodas5p/discrete", 1e-4, 1e-9)
    found = solver.gradient(*arguments)()
    assert judge_gradient(case, problem, found, None)["status"] == "ok"
    traced = jax.jit(solver._gradient._function).trace(*solver._arguments(*arguments))
    text = traced.lower(lowering_platforms=("cuda",)).as_text()
    assert "cusolver" in text and "lapack" not in text and "xla_cpu" not in text


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """A driver's tool that answers as told."""

    def answering(script):
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    machine.cache_clear()
    yield answering
    machine.cache_clear()


def test_a_machine_is_named_with_its_first_gpu(smi):
    plain = suite.machine.machine()["name"] if GPU is None else None
    machine.cache_clear()
    smi('echo "NVIDIA H200"; echo "NVIDIA A100"')
    found = machine()
    assert found["accelerator"] == "NVIDIA H200"
    assert found["name"].endswith("core-nvidia-h200")
    if plain is not None:
        assert found["name"] == f"{plain}-nvidia-h200"


@pytest.mark.parametrize("script", ["exit 9", "true"])
def test_a_driver_without_a_gpu_is_none(smi, script):
    smi(script)
    assert machine()["accelerator"] is None
    assert machine()["name"].endswith("core")


@with_gpu
@pytest.mark.parametrize(
    ("name", "problem", "source"),
    [
        ("diffrax/kvaerno3/discrete-recursive", "rober", "XLA"),
        ("stiffgrad-jax/rodas5p/discrete", "rober", "XLA"),
        ("stiffgrad-jax/radau5/gauss", "rober", "XLA"),
        ("jax/dopri5/backsolve", "linear:1", "XLA"),
        ("torchdiffeq/dopri5/discrete", "linear:1", "torch.cuda allocator"),
        ("torchdiffeq/implicit-adams/discrete", "linear:1", "torch.cuda allocator"),
    ],
)
def test_on_a_gpu_a_gradient_is_right_and_its_memory_the_allocators(name, problem, source):
    need(get_method(name))
    with Runner(LIMITS) as runner:
        record = runner.measure(on("gpu", problem=problem, method=name))
        here = runner.measure(on("cpu", problem=problem, method=name))
    if record["status"] == "not-available":
        pytest.skip(record["reason"])
    assert (record["status"], record["device"]) == ("ok", "gpu")
    assert source in record["peak_bytes_source"] and record["peak_bytes"] > 0
    assert record["gradient_p"] == pytest.approx(here["gradient_p"], rel=1e-3)
    assert here["device"] == "cpu" and here["peak_bytes_source"] == "memray"
