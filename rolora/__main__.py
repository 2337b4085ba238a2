"""`python -m rolora` is the command `rolora`."""

from rolora.cli import main

main()
