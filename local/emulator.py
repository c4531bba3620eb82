"""MiniStack, the AWS emulator, behind the guard: `python -m local.emulator`, with MiniStack's own variables."""

from ministack import app as ministack

from local.guard import Guard

if __name__ == "__main__":
    # `main` serves whatever its module calls `app`.
    ministack.app = Guard(ministack.app)
    ministack.main()
