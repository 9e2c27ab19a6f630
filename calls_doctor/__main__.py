"""`python -m calls_doctor` is the same program as `calls-doctor`."""

from calls_doctor.cli import main

if __name__ == "__main__":
    main()
