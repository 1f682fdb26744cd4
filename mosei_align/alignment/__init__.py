"""Deciding which words are a segment's steps, which frames belong to a step, and which segments are kept."""
