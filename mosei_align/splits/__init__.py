"""Deciding who goes where, checking that nothing leaks, fitting the normalisation on train."""
