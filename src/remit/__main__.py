"""`python -m remit`."""

from remit.surfaces.cli.main import main

if __name__ == "__main__":
    main()
