"""Subjects of a lab: folder layout, checks, preparation, importers of published recordings."""
