"""Test doubles that ship with the product."""
