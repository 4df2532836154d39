"""Tests of `taskexec.cli`; a package, so that `test_plan` may also exist elsewhere."""
