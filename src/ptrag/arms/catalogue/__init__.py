"""One file per arm; each defines ``ARM``. A new arm is one new file here."""
