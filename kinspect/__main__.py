"""``python -m kinspect``."""

from kinspect.cli import main

if __name__ == "__main__":
    main()
