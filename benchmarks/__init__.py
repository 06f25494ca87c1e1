"""What airspeed velocity tracks: thin classes over the suite, one module a tier.

asv imports this folder alone, without what is beside it and without PYTHONPATH, so the repository's
root is put on the path here.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
