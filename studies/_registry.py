"""Studies by name: every file of this folder without a leading underscore holds one, `STUDY`."""

import pkgutil
from importlib import import_module

import studies
from problems import nearest
from studies._study import Study, StudyError


def study_names() -> list[str]:
    """Names of all studies, sorted."""
    found = (module.name for module in pkgutil.iter_modules(studies.__path__))
    return sorted(name.replace("_", "-") for name in found if not name.startswith("_"))


def get_study(name: str) -> Study:
    """The study called `name`.

    Raises UnknownNameError with the nearest known names, and StudyError for a file that is no
    study.
    """
    if name not in study_names():
        raise nearest("study", name, study_names())
    file = name.replace("-", "_")
    study = getattr(import_module(f"studies.{file}"), "STUDY", None)
    if not isinstance(study, Study):
        raise StudyError(f"studies/{file}.py: needs STUDY, an instance of studies.Study")
    if study.name != name:
        raise StudyError(f"studies/{file}.py: its study is called {study.name}, not {name}")
    return study
