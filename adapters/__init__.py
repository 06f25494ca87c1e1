"""How a problem is differentiated: one file a framework, each declaring its methods as data.

Folders named in STIFFGRAD_ADAPTERS are searched too, so that an adapter need not live here.
"""

import os

from adapters._interface import Call as Call
from adapters._interface import Counters as Counters
from adapters._interface import Device as Device
from adapters._interface import DeviceMemory as DeviceMemory
from adapters._interface import Gradient as Gradient
from adapters._interface import Method as Method
from adapters._interface import NotAvailable as NotAvailable
from adapters._interface import Solution as Solution
from adapters._interface import Solver as Solver
from adapters._interface import SolverFailure as SolverFailure
from adapters._interface import Unsupported as Unsupported
from adapters._registry import available as available
from adapters._registry import get_method as get_method
from adapters._registry import load as load
from adapters._registry import methods as methods

__path__ += filter(None, os.environ.get("STIFFGRAD_ADAPTERS", "").split(os.pathsep))
