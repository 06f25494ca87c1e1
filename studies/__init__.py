"""The papers' experiments, re-run: one file a study, every claim with what is measured of it.

Folders named in STIFFGRAD_STUDIES are searched too, so that a study need not live here.
"""

import os

from studies._attempts import attempts as attempts
from studies._journal import Row as Row
from studies._journal import here as here
from studies._registry import get_study as get_study
from studies._registry import study_names as study_names
from studies._study import Claim as Claim
from studies._study import NotMeasured as NotMeasured
from studies._study import Study as Study
from studies._study import StudyError as StudyError
from studies._study import Verdict as Verdict
from studies._study import confirmed as confirmed
from studies._study import differs as differs
from studies._study import refuted as refuted

__path__ += filter(None, os.environ.get("STIFFGRAD_STUDIES", "").split(os.pathsep))
