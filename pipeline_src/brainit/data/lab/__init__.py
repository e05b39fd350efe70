"""A lab's own subjects: folder layout, check, preparation; importers of published recordings."""
