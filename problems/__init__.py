"""What is solved: stiff initial value problems, one file each, written once for every framework.

Folders named in STIFFGRAD_PROBLEMS are searched too, so that a problem need not live here.
"""

import os

from problems._losses import FitLoss as FitLoss
from problems._losses import LinearLoss as LinearLoss
from problems._losses import Loss as Loss
from problems._mass import consistent as consistent
from problems._names import UnknownNameError as UnknownNameError
from problems._names import nearest as nearest
from problems._network import MassAction as MassAction
from problems._network import Reaction as Reaction
from problems._problem import Problem as Problem
from problems._problem import ProblemError as ProblemError
from problems._problem import log_spaced as log_spaced
from problems._registry import get_problem as get_problem
from problems._registry import member as member
from problems._registry import problem_names as problem_names
from problems._registry import variant_help as variant_help
from problems._spectrum import Spectrum as Spectrum
from problems._spectrum import spectrum as spectrum

__path__ += filter(None, os.environ.get("STIFFGRAD_PROBLEMS", "").split(os.pathsep))
