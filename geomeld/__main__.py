"""`python -m geomeld`: the command line without the installed script."""

from geomeld.cli import main

main()
