"""How a problem is differentiated: one file a framework, each declaring its methods as data."""

from adapters._interface import Call as Call
from adapters._interface import Counters as Counters
from adapters._interface import Gradient as Gradient
from adapters._interface import Method as Method
from adapters._interface import Solution as Solution
from adapters._interface import Solver as Solver
from adapters._interface import SolverFailure as SolverFailure
from adapters._interface import Unsupported as Unsupported
from adapters._registry import available as available
from adapters._registry import get_method as get_method
from adapters._registry import load as load
from adapters._registry import methods as methods
