"""Proof without a server: whether a run's folder is whole, unchanged and signed, and the run obeyed its plan."""

from taskexec.completion.proof.verification import Problem, Signer, Verification, verify_folder

__all__ = ["Problem", "Signer", "Verification", "verify_folder"]
