"""`python -m crema` is the command `crema`."""

from crema.cli import main

main()
