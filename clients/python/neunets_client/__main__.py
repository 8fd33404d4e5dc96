"""`python -m neunets_client`: the command line."""

from neunets_client.cli import main

if __name__ == "__main__":
    main()
