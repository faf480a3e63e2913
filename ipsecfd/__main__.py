"""`python -m ipsecfd`."""

from ipsecfd.cli.main import main

if __name__ == "__main__":
    main()
