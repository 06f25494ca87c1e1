"""asv as a program, with the file that describes machines given as the first argument.

asv has no option for that file and would write to the user's home folder. Another home folder would
hide more from it than that: git's settings, the user's own packages.
"""

import sys


def main() -> None:
    """Run asv with the rest of the arguments; exits as asv does."""
    from asv.machine import MachineCollection

    path = sys.argv.pop(1)
    MachineCollection.get_machine_file_path = staticmethod(lambda: path)
    from asv.main import main

    main()


if __name__ == "__main__":
    main()
